"""The vocabulary of the hot tables: which columns name a series, and which measures a roll-up row adds up.

A *series* is one combination of the low-cardinality dimensions of a team. Events and roll-up rows point at it by id,
so a row stays narrow and re-attributing history is an update of one series. `tenant` may have thousands of values,
so it is not part of a series: it has its own roll-ups, keyed by tenant and the *narrow* series (NARROW_DIMENSIONS,
everything else blank).

Every measure is additive: minute = sum(events), hour = sum(minute), day = sum(hour). NULL in a roll-up row means
nothing was added (it keeps rows small) and reads as 0.
"""

from dataclasses import dataclass

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

# usage_event.cost_state
COST_NONE, COST_PRICED, COST_UNPRICED, COST_UNMETERED = 0, 1, 2, 3

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
)
MEASURE_NAMES = tuple(measure.name for measure in MEASURES)

# Column of usage_event → column of the roll-ups that holds its histogram (usage.histogram).
HISTOGRAMS = {"latency_ms": "latency_histogram", "ttft_ms": "ttft_histogram", "queue_ms": "queue_histogram"}
