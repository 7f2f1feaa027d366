"""What callers send, with its limits: decoding, the OpenAPI schema and the guide come from here."""

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

DEFAULT_TTL, LONGEST_TTL = 300, 86_400
LARGEST_BATCH = 100
MOST_TOOLS = 100
_MAX_TOKENS = 1_000_000_000
_MAX_USD = Decimal(1_000_000)
_MOST_PLACES = 30  # kept are 12; numbers like 1e-999999 are more than a numeric of PostgreSQL can hold

QueueClass = Literal["realtime", "batch", "backfill"]


def _text(limit: int, says: str) -> Meta:
    return Meta(max_length=limit, description=says)


_TOKENS = Meta(ge=0, le=_MAX_TOKENS)
_TTL = Meta(ge=1, le=LONGEST_TTL, description=f"Seconds until the reservation ends by itself, 1 to {LONGEST_TTL:,}")
_ID = Meta(min_length=36, max_length=36, description="reservation_id of the reserve")
_USD = Meta(description="USD, best as a text so that no digit is lost")


class Reserve(Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A call that is about to be made; `check` takes the same and holds nothing."""

    provider: Annotated[str, _text(100, "openai, anthropic, aws.bedrock, …")] = ""
    model: Annotated[str, Meta(min_length=1, max_length=200, description="The model you want")]
    feature: Annotated[str, _text(100, "The product feature it is for")] = ""
    tenant: Annotated[str, _text(200, "Your customer")] = ""
    environment: Annotated[str, _text(64, "dev, staging, prod, …; absent: the key's")] = ""
    user_hash: Annotated[str, _text(128, "Keyed hash of the user's id, never the id itself")] = ""
    cost_center: Annotated[str, _text(100, "Who pays")] = ""
    region: Annotated[str, _text(100, "Region of the provider, where it has a price of its own")] = ""
    service_tier: Annotated[str, _text(20, "batch, flex, priority, …; has its own price")] = ""
    input_tokens: Annotated[int, Meta(description="Your estimate of the prompt")] | None = None
    max_output_tokens: (
        Annotated[int, Meta(description="What you will send as max_tokens; absent: estimated from your history")] | None
    ) = None
    cost_usd: Annotated[Decimal, Meta(description="Your own estimate of the cost in USD, instead of tokens")] | None = (
        None
    )
    tools: Annotated[list[str], Meta(max_length=MOST_TOOLS, description="Names of the tools the call may use")] = []
    queue_class: Annotated[QueueClass, Meta(description="How urgent it is")] = "realtime"
    ttl_seconds: Annotated[int, _TTL] = DEFAULT_TTL
    idempotency_key: Annotated[str, _text(200, "A retry with the same key and content gets the same reservation")] = ""


class Settle(Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What the call used. Without cost_usd it is priced from the tokens; without either the estimate is booked."""

    reservation_id: Annotated[str, _ID]
    cost_usd: Annotated[Decimal, _USD] | None = None
    input_tokens: Annotated[int, Meta(description="All input tokens, cached ones included")] | None = None
    output_tokens: Annotated[int, Meta(description="All output tokens, reasoning included")] | None = None
    cached_input_tokens: Annotated[int, Meta(description="Part of input_tokens read from the cache")] | None = None
    cache_write_tokens: Annotated[int, Meta(description="Part of input_tokens written to the cache")] | None = None
    reasoning_tokens: Annotated[int, Meta(description="Part of output_tokens")] | None = None
    provider: Annotated[str, _text(100, "Who ran it; absent: as reserved")] = ""
    model: Annotated[str, _text(200, "The model that ran; absent: as reserved")] = ""
    region: Annotated[str, _text(100, "Region of the provider")] = ""
    service_tier: Annotated[str, _text(20, "batch, flex, priority, …")] = ""


class Release(Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """The call was not made: give back what was reserved."""

    reservation_id: Annotated[str, _ID]


class Extend(Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """The call takes longer: the reservation ends no earlier than ttl_seconds from now."""

    reservation_id: Annotated[str, _ID]
    ttl_seconds: Annotated[int, _TTL] = DEFAULT_TTL


class Batch(Struct, kw_only=True, forbid_unknown_fields=True):
    """Up to 100 requests, each answered by itself."""

    requests: Annotated[
        list[dict[str, Any]],
        Meta(min_length=1, max_length=LARGEST_BATCH, description="Each with `op` and the fields of that operation"),
    ]


Request = Reserve | Settle | Release | Extend
OPERATIONS: dict[str, type[Request]] = {
    "reserve": Reserve,
    "check": Reserve,
    "settle": Settle,
    "release": Release,
    "extend": Extend,
}
_COUNTS = (
    "input_tokens",
    "max_output_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


# Texts of a reservation that are kept.
_STORED = ("provider", "model", "feature", "tenant", "environment", "user_hash", "cost_center", "tools")


class Refused(Exception):
    """A request that cannot be understood; `field` names what to change."""

    def __init__(self, code: str, message: str, fix: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.fix, self.field = code, message, fix, field


_decoders = {operation: msgspec.json.Decoder(kind) for operation, kind in OPERATIONS.items()}
_batch = msgspec.json.Decoder(Batch)


def decode(operation: str, body: bytes) -> Request:
    """The request of a body. Raises Refused."""
    try:
        return checked(_decoders[operation].decode(_filled(body)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _refused(exc) from exc


def decode_batch(body: bytes) -> list[dict[str, Any]]:
    """The raw requests of a batch. Raises Refused."""
    try:
        return _batch.decode(_filled(body)).requests
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _refused(exc) from exc


def _filled(body: bytes) -> bytes:
    if not body.strip():
        raise Refused("malformed_json", "The body is empty.", "Send the request as a JSON object.")
    return body


def convert(raw: dict[str, Any]) -> tuple[str, Request]:
    """(operation, request) of one element of a batch. Raises Refused."""
    fields = dict(raw)
    operation = fields.pop("op", None)
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise Refused("unknown_op", f"op must be one of {', '.join(OPERATIONS)}.", "Name the operation.", "op")
    try:
        return operation, checked(msgspec.convert(fields, OPERATIONS[operation]))
    except msgspec.ValidationError as exc:
        raise _refused(exc) from exc


def checked(request: Request) -> Request:
    """What types alone cannot say. Raises Refused."""
    for name in _COUNTS:
        value = getattr(request, name, None)
        if value is not None and not 0 <= value <= _MAX_TOKENS:
            raise Refused(
                "out_of_range", f"{name} must be a whole number from 0 to {_MAX_TOKENS:,}.", "Correct it.", name
            )
    cost = getattr(request, "cost_usd", None)
    if cost is not None and not (cost.is_finite() and 0 <= cost <= _MAX_USD):
        raise Refused("out_of_range", f"cost_usd must be from 0 to {_MAX_USD:,} USD.", "Correct it.", "cost_usd")
    if cost is not None and int(cost.as_tuple().exponent) < -_MOST_PLACES:
        raise Refused(
            "out_of_range", f"cost_usd has more than {_MOST_PLACES} places behind the point.", "Round it.", "cost_usd"
        )
    if isinstance(request, Reserve):
        _check_reserve(request)
    if isinstance(request, Settle):
        _check_parts(request)
    return request


def _check_reserve(request: Reserve) -> None:
    if request.input_tokens is None and request.cost_usd is None:
        raise Refused(
            "missing",
            "The request says neither input_tokens nor cost_usd, so nothing can be estimated.",
            "Send input_tokens (about a quarter of the prompt's characters will do) or cost_usd.",
            "input_tokens",
        )
    for name in _STORED:
        if "\x00" in "".join(getattr(request, name)):
            raise Refused(
                "unstorable", f"{name} holds the character U+0000, which cannot be stored.", "Remove it.", name
            )


def _check_parts(request: Settle) -> None:
    """Parts larger than their whole are refused, as in events: priced as sent they would cost more than was used."""
    cached = (request.cached_input_tokens or 0) + (request.cache_write_tokens or 0)
    for field, said, parts, whole, count in (
        ("cached_input_tokens", "cached and cache-write tokens", cached, "input_tokens", request.input_tokens),
        ("reasoning_tokens", "reasoning tokens", request.reasoning_tokens or 0, "output_tokens", request.output_tokens),
    ):
        if count is not None and parts > count:
            raise Refused(
                "more_than_whole",
                f"{parts:,} {said} are more than {whole} ({count:,}), of which they are a part.",
                f"Send {whole} with these included.",
                field,
            )


def _refused(exc: Exception) -> Refused:
    text = str(exc)
    message, _, path = text.partition(" - at `$.")
    if isinstance(exc, UnicodeDecodeError):
        return Refused("invalid_utf8", "The body is not UTF-8.", "Encode it as UTF-8.")
    if not isinstance(exc, msgspec.ValidationError):
        return Refused("malformed_json", f"{text}.", "Check the body with a JSON validator.")
    field = path.rstrip("`") or (message.split("`")[1] if "field `" in message else None)
    return Refused("invalid", f"{message}.", "Compare it with the API documentation.", field)
