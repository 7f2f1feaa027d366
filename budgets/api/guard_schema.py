"""OpenAPI of the guard, made from what decodes its requests, so that it cannot drift."""

from typing import Any

import msgspec
from drf_spectacular.utils import OpenApiExample, OpenApiResponse

from budgets.guard.requests import Batch, Extend, Release, Reserve, Settle
from usage.api.events_schema import ERROR

TAGS = ["guard"]


def _fields(kind: type) -> dict[str, Any]:
    """The JSON schema of a Struct in the dialect of OpenAPI 3.0 (`nullable`, no type null)."""
    _, components = msgspec.json.schema_components([kind])
    schema = components[kind.__name__]
    return schema | {"properties": {name: _plain(limits) for name, limits in schema["properties"].items()}}


def _plain(limits: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in limits.get("anyOf", [limits]) if kind.get("type") != "null"]
    says = {name: limits[name] for name in ("description", "default") if limits.get(name) is not None}
    return kinds[0] | says | ({"nullable": True} if "anyOf" in limits else {})


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _text(says: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": says, **more}


def _number(says: str) -> dict[str, Any]:
    return {"type": "integer", "description": says, "nullable": True}


def _amount(says: str) -> dict[str, Any]:
    return _text(f"{says}; exact text, null: not known or not yours to see", nullable=True)


HEADROOM = _object(
    budget=_text("Its name; `organisation` for one of the whole organisation"),
    budget_id=_number("Its id"),
    unit=_text("USD, tokens or requests"),
    enforcement=_text("hard or soft", enum=["hard", "soft"]),
    limit=_amount("Limit, roll-over and grants"),
    used=_amount("Used in this period"),
    reserved=_amount("Held by open reservations, this one included"),
    left=_amount("limit − used − reserved"),
    resets_at=_text("When its next period begins", format="date-time"),
    on_failure=_text("What to do while the desk does not answer", enum=["open", "closed"]),
)
DECISION = _object(
    decision=_text("Make the call, make it as said here, or do not make it", enum=["allow", "degrade", "deny"]),
    mode=_text("normal, conserve, emergency or blocked"),
    provider=_text("Provider to use", nullable=True),
    model=_text("Model to use", nullable=True),
    max_output_tokens=_number("Limit to send with the call; null: no limit of ours"),
    max_context_tokens=_number("Shorten the prompt to this; null: as it is"),
    top_k=_number("Documents to retrieve; null: as you like"),
    tools_off={"type": "array", "items": {"type": "string"}, "description": "Tools not to offer; * is every tool"},
    reason=_object(code=_text("For programs"), message=_text("For people")),
    estimate=_object(
        cost_usd=_amount("What is reserved"),
        input_tokens=_number("Input tokens"),
        output_tokens=_number("Output tokens"),
        output_tokens_from=_text("Where that is from", enum=["request", "history", "default"]),
    ),
    headroom={"type": "array", "items": HEADROOM, "description": "Every budget over this call"},
    warnings={"type": "array", "items": _object(code=_text("For programs"), message=_text("For people"))},
    desk=_object(
        degraded={"type": "boolean", "description": "Some figures are older than they should be"},
        fail=_text("Keep this: what to do when the desk does not answer", enum=["open", "closed"]),
    ),
    reservation_id=_text("Names the reservation; null where nothing is held", nullable=True),
    expires_at=_text("When it ends by itself", format="date-time", nullable=True),
    retry_after=_number("Seconds until the same request may succeed; also the header Retry-After"),
    replayed={"type": "boolean", "description": "This idempotency_key was answered before"},
)
CLOSED = _object(
    reservation_id=_text("The reservation"),
    state=_text("What it is now", enum=["open", "settled", "released", "expired"]),
    cost_usd=_amount("What is booked"),
    cost_from=_text("Where that is from", enum=["events", "settle", "estimate"], nullable=True),
    estimate_usd=_amount("What was reserved"),
    overrun_usd=_amount("How much more than reserved it cost"),
    expires_at=_text("When it ends by itself", format="date-time", nullable=True),
    closed_at=_text("When it ended", format="date-time", nullable=True),
    replayed={"type": "boolean", "description": "It was so already"},
)
RESULTS = _object(
    results={
        "type": "array",
        "items": {"type": "object", "properties": {"status": {"type": "integer"}}, "additionalProperties": True},
        "description": "In the order of the requests: `status` and what the request would have answered by itself",
    }
)
CALL = {
    "provider": "openai",
    "model": "gpt-4o-mini",
    "feature": "answers",
    "tenant": "acme",
    "environment": "prod",
    "input_tokens": 1850,
    "max_output_tokens": 400,
}
RESERVATION = "019ac3f2-7d1e-7c44-9a43-0d7c7b7a51f0"


def _refusal(says: str) -> OpenApiResponse:
    return OpenApiResponse(response=ERROR, description=says)


PROBLEMS = {
    400: _refusal("A field is missing or wrong; `field` names it"),
    401: _refusal("No key, or an unknown or revoked one"),
    403: _refusal("The key lacks the scope guard"),
    503: _refusal("Database away; `fallback` says what to do with a call that waits, Retry-After when to ask again"),
}
MISSING = {404: _refusal("The team has no such reservation")}


def _schema(
    name: str, summary: str, description: str, kind: type, example: dict[str, Any], answer: dict[str, Any]
) -> dict[str, Any]:
    return {
        "operation_id": f"guard_{name}",
        "summary": summary,
        "description": description,
        "tags": TAGS,
        "request": {"application/json": _fields(kind)},
        "examples": [OpenApiExample("Example", value=example, request_only=True, media_type="application/json")],
        "responses": {200: OpenApiResponse(response=answer, description="The answer"), **PROBLEMS},
    }


RESERVE = _schema(
    "reserve",
    "Ask before a call, and reserve its estimated cost",
    "Answers allow, degrade or deny, all three with status 200. The estimate is held against every budget over the "
    "call until it is settled, released, or ttl_seconds have passed. Hard budgets are never exceeded, however many "
    "callers ask at once.",
    Reserve,
    CALL,
    DECISION,
)
CHECK = _schema(
    "check",
    "Ask before a call, without reserving",
    "As reserve, but nothing is held and no rate limit is used up, so the answer is true at this moment only.",
    Reserve,
    CALL,
    DECISION,
)
SETTLE = _schema(
    "settle",
    "Say what a call cost",
    "Books it in full, also beyond the estimate, and gives back the rest. Settling again with the same figures changes "
    "nothing. A usage event with this reservation_id settles it too, and its priced cost is what is booked then.",
    Settle,
    {"reservation_id": RESERVATION, "model": "gpt-4o-mini", "input_tokens": 1850, "output_tokens": 212},
    CLOSED,
)
RELEASE = _schema(
    "release",
    "Give a reservation back",
    "For a call that was not made. Releasing again changes nothing.",
    Release,
    {"reservation_id": RESERVATION},
    CLOSED,
)
EXTEND = _schema(
    "extend",
    "Let a reservation last longer",
    "For a call that takes longer than expected. One that has expired cannot be extended: reserve again.",
    Extend,
    {"reservation_id": RESERVATION, "ttl_seconds": 600},
    CLOSED,
)
BATCH = _schema(
    "batch",
    "Up to 100 requests at once",
    "Each is answered by itself, in order: one that is refused does not touch the others.",
    Batch,
    {"requests": [{"op": "reserve", **CALL}, {"op": "release", "reservation_id": RESERVATION}]},
    RESULTS,
)
for _closing in (SETTLE, RELEASE, EXTEND):
    _closing["responses"] |= MISSING | {409: _refusal("It ended otherwise before; `message` says how")}
