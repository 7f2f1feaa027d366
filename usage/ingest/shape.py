"""The fields of a usage event, with their limits: decoding, the OpenAPI schema and docs/api.md come from here.

Names follow the OpenTelemetry GenAI conventions where those have one. `null` means "not given" everywhere.
"""

from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Annotated, Any, Literal, get_args, get_type_hints

from msgspec import Meta, Struct

from usage.measures import DIMENSIONS

Status = Literal["success", "error", "blocked", "fallback", "cancelled"]
ErrorType = Literal[
    "timeout",
    "rate_limit",
    "provider_5xx",
    "provider_4xx",
    "auth",
    "content_policy",
    "context_length",
    "tool_failure",
    "retrieval_empty",
    "schema_invalid",
    "cancelled",
    "network",
    "other",
]
Initiator = Literal["user", "system"]
Feedback = Literal["up", "down"]
STATUSES, ERROR_TYPES = get_args(Status), get_args(ErrorType)

MAX_COUNT = 1_000_000_000
MAX_MS = 86_400_000
MAX_USD = Decimal(1_000_000)
MAX_ATTRIBUTES, MAX_ATTRIBUTE_NAME, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTE_DEPTH = 50, 100, 8_192, 5
OPERATION = r"[a-z0-9_.\-]{1,64}"


def _text(limit: int, says: str) -> Meta:
    return Meta(max_length=limit, description=says)


def _count(says: str, limit: int = MAX_COUNT) -> Meta:
    return Meta(ge=0, le=limit, description=says)


def _ms(says: str) -> Meta:
    """Milliseconds; a fraction is rounded to the nearest whole one (halves to even)."""
    return Meta(ge=0, le=MAX_MS, description=says)


_MS = Meta(ge=0, le=MAX_MS)


class Event(Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One stage of an AI call."""

    event_id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            description="Your id of this event; with occurred_at it makes a retry a duplicate, not a second event",
        ),
    ]
    trace_id: Annotated[str, _text(200, "Shared by all stages of one user request")] | None = None
    span_id: Annotated[str, _text(200, "This stage")] | None = None
    parent_span_id: (
        Annotated[str, _text(200, "The stage that called this one; absent for the request as the caller saw it")] | None
    ) = None
    request_id: Annotated[str, _text(200, "The provider's or your gateway's id of the call")] | None = None
    conversation_id: Annotated[str, _text(200, "Shared by the turns of one chat")] | None = None
    session_id: Annotated[str, _text(200, "The user's session")] | None = None

    occurred_at: (
        Annotated[
            datetime,
            Meta(
                tz=True,
                description="Start, ISO 8601 with Z or an offset. Absent: the time of receipt, kept for retries",
            ),
        ]
        | None
    ) = None
    latency_ms: Annotated[int, _ms("Duration, milliseconds; a fraction is rounded")] | Annotated[float, _MS] | None = (
        None
    )
    ttft_ms: Annotated[int, _ms("Time to the first token, milliseconds")] | Annotated[float, _MS] | None = None
    queue_ms: (
        Annotated[int, _ms("Time waited before the call started, milliseconds")] | Annotated[float, _MS] | None
    ) = None

    team: Annotated[str, _text(50, "Checked against the key's team")] | None = None
    environment: Annotated[str, _text(64, "dev, staging, prod, …; absent: the key's")] | None = None
    service: Annotated[str, _text(100, "The program that made the call")] | None = None
    feature: Annotated[str, _text(100, "The product feature it was for")] | None = None
    endpoint: Annotated[str, _text(200, "The route or job that was called")] | None = None
    tenant: Annotated[str, _text(200, "Your customer")] | None = None
    user_hash: Annotated[str, _text(128, "Keyed hash of the user's id, never the id itself")] | None = None
    cost_center: Annotated[str, _text(100, "Who pays")] | None = None
    initiator: Annotated[Initiator, Meta(description="Who started it")] | None = None

    operation: (
        Annotated[str, _text(64, "chat (default), text_completion, generate_content, embeddings, rerank, retrieval, …")]
        | None
    ) = None
    provider: Annotated[str, _text(100, "openai, anthropic, aws.bedrock, …")] | None = None
    model: Annotated[str, _text(200, "The model asked for")] | None = None
    response_model: Annotated[str, _text(200, "The model that answered")] | None = None
    reservation_id: (
        Annotated[str, _text(64, "The guard's reservation this call was made with; it settles the reservation")] | None
    ) = None
    region: Annotated[str, _text(100, "Region of the provider")] | None = None
    service_tier: Annotated[str, _text(20, "batch, flex, priority, …; has its own price")] | None = None
    streaming: Annotated[bool, Meta(description="The answer was streamed")] | None = None
    stop_reason: Annotated[str, _text(100, "Why the model stopped")] | None = None
    temperature: Annotated[float, Meta(ge=0, le=100, description="Sampling temperature")] | None = None
    max_tokens: Annotated[int, _count("Limit on output tokens of the call")] | None = None

    input_tokens: Annotated[int, _count("All input tokens, cached ones included")] | None = None
    output_tokens: Annotated[int, _count("All output tokens, reasoning included")] | None = None
    cached_input_tokens: Annotated[int, _count("Part of input_tokens read from the provider's cache")] | None = None
    cache_write_tokens: Annotated[int, _count("Part of input_tokens written to the provider's cache")] | None = None
    reasoning_tokens: Annotated[int, _count("Part of output_tokens")] | None = None
    context_tokens: Annotated[int, _count("Retrieved text inside the prompt, tokens")] | None = None
    cost_usd: Annotated[Decimal, Meta(description="Taken as reported_cost_usd where that is absent")] | None = None
    reported_cost_usd: (
        Annotated[Decimal, Meta(description="Cost by the client's own reckoning, USD, kept beside the computed one")]
        | None
    ) = None

    status: Annotated[Status, Meta(description="Default success")] | None = None
    error_type: Annotated[ErrorType, Meta(description="Default for status error: other")] | None = None
    http_status: Annotated[int, Meta(ge=100, le=599, description="Status of the provider's answer")] | None = None
    retry_count: Annotated[int, _count("Tries before this one", 1_000)] | None = None
    fallback_from: Annotated[str, _text(200, "Model or provider that failed before")] | None = None

    release: Annotated[str, _text(200, "Version of the app")] | None = None
    prompt_version: Annotated[str, _text(200, "Version of the prompt")] | None = None
    prompt_hash: Annotated[str, _text(200, "Hash of the prompt template")] | None = None
    retriever_config: Annotated[str, _text(200, "Name of the retrieval configuration")] | None = None
    index_version: Annotated[str, _text(200, "Version of the index")] | None = None
    experiment: Annotated[str, _text(100, "Name of the experiment")] | None = None
    variant: Annotated[str, _text(100, "Arm of the experiment")] | None = None
    policy_profile: Annotated[str, _text(200, "Guardrail profile")] | None = None

    top_k: Annotated[int, _count("Documents asked for", 1_000_000)] | None = None
    documents: Annotated[int, _count("Documents found; 0 is an empty retrieval", 30_000)] | None = None
    top_score: Annotated[float, Meta(ge=-1e6, le=1e6, description="Best similarity score")] | None = None
    citations: Annotated[int, _count("Sources cited in the answer", 30_000)] | None = None

    tool_name: Annotated[str, _text(200, "The tool that ran")] | None = None
    tool_version: Annotated[str, _text(100, "Its version")] | None = None
    result_bytes: Annotated[int, _count("Size of its result, bytes", 10**12)] | None = None

    refused: Annotated[bool, Meta(description="The model refused")] | None = None
    policy_hit: Annotated[bool, Meta(description="A guardrail matched")] | None = None
    schema_valid: Annotated[bool, Meta(description="The answer matched the expected schema")] | None = None
    cache_hit: Annotated[bool, Meta(description="Answered from your own response cache")] | None = None
    feedback: Annotated[Feedback, Meta(description="The user's thumb")] | None = None
    escalated: (
        Annotated[bool, Meta(description="The request was handed over to a person; false: it could be and was not")]
        | None
    ) = None

    attributes: (
        Annotated[
            dict[str, Any],
            Meta(description="Anything else. Unknown fields are moved here: at most 50, 8 kB as JSON, 5 levels deep"),
        ]
        | None
    ) = None


FIELD_TYPES: dict[str, Any] = {
    name: kind for name, kind in get_type_hints(Event, include_extras=True).items() if name in Event.__struct_fields__
}


class Detail(Struct, omit_defaults=True, gc=False):
    """The rarely read fields, stored as one jsonb column. `folded`: dimension values beyond the team's series limit."""

    folded: dict[str, str] | None = None
    service_tier: str | None = None
    streaming: bool | None = None
    stop_reason: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    prompt_hash: str | None = None
    retriever_config: str | None = None
    index_version: str | None = None
    policy_profile: str | None = None
    top_k: int | None = None
    tool_version: str | None = None
    result_bytes: int | None = None
    attributes: dict[str, Any] | None = None


dimensions_of = attrgetter(*DIMENSIONS)
detail_of = attrgetter(*Detail.__struct_fields__[1:])
