"""The vocabulary of the hot tables: which columns name a series, and which measures a roll-up row adds up.

A *series* is one combination of the low-cardinality dimensions of a team. Events and roll-up rows point at it by id,
so a row stays narrow and re-attributing history is an update of one series. `tenant` may have thousands of values,
so it is not part of a series: it has its own roll-ups, keyed by tenant and the *narrow* series (NARROW_DIMENSIONS,
everything else blank).

Every measure is additive: minute = sum(events), hour = sum(minute), day = sum(hour). NULL in a roll-up row means
nothing was added (it keeps rows small) and reads as 0.
"""

from dataclasses import dataclass
from typing import Literal

DIMENSIONS = (
    "environment",
    "service",
    "feature",
    "endpoint",
    "operation",
    "provider",
    "model",
    "region",
    "release",
    "prompt_version",
    "experiment",
    "variant",
    "cost_center",
    "initiator",
    "tool_name",
    "status",
    "error_type",
    "fallback_from",
)
NARROW_DIMENSIONS = frozenset(
    {"environment", "feature", "operation", "provider", "model", "cost_center", "status", "error_type"}
)

# Operations that call a model and are billed for it.
MODEL_OPERATIONS = ("chat", "text_completion", "generate_content", "embeddings", "rerank")
# Operations that contain calls. Tokens on such an event are sums of its children's, so they are neither priced nor
# counted. An event of any other operation is priced where it names a model and tokens.
WRAPPER_OPERATIONS = ("gateway", "invoke_agent", "create_agent", "invoke_workflow", "plan")

# Drills inject their telemetry here; it is in no figure unless this environment is asked for.
DRILL_ENVIRONMENT = "drill"

# usage_event.cost_state
COST_NONE, COST_PRICED, COST_UNPRICED, COST_UNMETERED = 0, 1, 2, 3

_IN_CONVERSATION = "e.conversation_id IS NOT NULL"
LOW_SCORE = "0.5"  # top_score below this counts as a low-similarity retrieval


@dataclass(frozen=True)
class Measure:
    """One additive column of the roll-up tables.

    `event_sql` is the aggregate over `usage_event e`; roll-ups of roll-ups use sum(name). `pg_type` is the column type.
    """

    name: str
    event_sql: str
    pg_type: str = "bigint"


def _total(column: str) -> Measure:
    return Measure(column, f"sum(e.{column})")


def _count(name: str, condition: str) -> Measure:
    return Measure(name, f"nullif(count(*) FILTER (WHERE {condition}), 0)")


MEASURES: tuple[Measure, ...] = (
    Measure("events", "count(*)"),
    _total("latency_ms"),
    _total("input_tokens"),
    _total("output_tokens"),
    _total("cached_input_tokens"),
    _total("cache_write_tokens"),
    _total("reasoning_tokens"),
    _total("context_tokens"),
    Measure("cost_usd", "sum(e.cost_usd)", "numeric"),
    _count("priced", f"e.cost_state = {COST_PRICED}"),
    _count("unpriced", f"e.cost_state = {COST_UNPRICED}"),
    _count("unmetered", f"e.cost_state = {COST_UNMETERED}"),
    Measure("reported_cost_usd", "sum(e.reported_cost_usd)", "numeric"),
    _count("reported", "e.reported_cost_usd IS NOT NULL"),
    _total("retry_count"),
    _count("retried", "e.retry_count > 0"),
    _count("refused", "e.refused"),
    _count("refused_known", "e.refused IS NOT NULL"),
    _count("policy_hits", "e.policy_hit"),
    _count("policy_known", "e.policy_hit IS NOT NULL"),
    _count("schema_valid", "e.schema_valid"),
    _count("schema_known", "e.schema_valid IS NOT NULL"),
    _count("cache_hits", "e.cache_hit"),
    _count("cache_known", "e.cache_hit IS NOT NULL"),
    _count("feedback_up", "e.feedback = 1"),
    _count("feedback_down", "e.feedback = -1"),
    _count("cited", "e.citations > 0"),
    _count("citations_known", "e.citations IS NOT NULL"),
    _count("empty_retrievals", "e.documents = 0"),
    _count("documents_known", "e.documents IS NOT NULL"),
    _count("low_scores", f"e.top_score < {LOW_SCORE}"),
    _count("scores_known", "e.top_score IS NOT NULL"),
    _count("escalated", "e.escalated"),
    _count("escalated_known", "e.escalated IS NOT NULL"),
    # Cost of the events that name a conversation, and how many of them have a known and an unknown one.
    Measure("conversation_cost_usd", f"sum(e.cost_usd) FILTER (WHERE {_IN_CONVERSATION})", "numeric"),
    _count("conversation_priced", f"{_IN_CONVERSATION} AND e.cost_state = {COST_PRICED}"),
    # Of events that name a reservation of the guard, which books them itself.
    Measure("guarded_cost_usd", "sum(e.cost_usd) FILTER (WHERE e.reservation_id IS NOT NULL)", "numeric"),
    Measure(
        "guarded_tokens",
        "sum(coalesce(e.input_tokens, 0)::bigint + coalesce(e.output_tokens, 0))"
        " FILTER (WHERE e.reservation_id IS NOT NULL)",
    ),
    _count("guarded_events", "e.reservation_id IS NOT NULL"),
    _count("conversation_unknown", f"{_IN_CONVERSATION} AND e.cost_state IN ({COST_UNPRICED}, {COST_UNMETERED})"),
)
MEASURE_NAMES = tuple(measure.name for measure in MEASURES)


@dataclass(frozen=True)
class Packed:
    """A column of the roll-up tables that holds many values as bytes; two are merged by putting one behind the other.

    An event whose `column` is NULL adds nothing, else the whole number `value_sql`. `kind` says who packs and compacts
    them (usage.histogram, usage.sketch).
    """

    name: str
    column: str
    value_sql: str
    kind: Literal["histogram", "sketch"]

    @property
    def array_sql(self) -> str:
        """The values of the events that have one, NULL where none has."""
        return f"array_agg({self.value_sql}) FILTER (WHERE e.{self.column} IS NOT NULL)"


PACKED: tuple[Packed, ...] = (
    Packed("latency_histogram", "latency_ms", "e.latency_ms", "histogram"),
    Packed("ttft_histogram", "ttft_ms", "e.ttft_ms", "histogram"),
    Packed("queue_histogram", "queue_ms", "e.queue_ms", "histogram"),
    # Salted with the team: the same id in two teams is two conversations.
    Packed(
        "conversation_sketch",
        "conversation_id",
        "hashtextextended(e.conversation_id, e.team_id) & 4294967295",
        "sketch",
    ),
)
PACKED_NAMES = tuple(packed.name for packed in PACKED)
SKETCH_NAMES = tuple(packed.name for packed in PACKED if packed.kind == "sketch")
