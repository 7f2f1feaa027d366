"""OpenAPI of POST /api/v1/events, made from the fields that decode an event, so that it cannot drift."""

from typing import Any

import msgspec
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from usage.ingest.problems import Rejection
from usage.ingest.shape import Event


def _inlined(kind: type) -> dict[str, Any]:
    """The JSON schema of a Struct without references, in the dialect of OpenAPI 3.0 (`nullable`, no type null)."""
    _, components = msgspec.json.schema_components([kind])
    schema = components[kind.__name__]
    return schema | {"properties": {name: _field(limits) for name, limits in schema["properties"].items()}}


def _field(limits: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in limits.get("anyOf", [limits]) if kind.get("type") != "null"]
    says = {"description": kinds[0]["description"]} if "description" in kinds[0] else {}
    # Whole numbers are numbers too, and money is best sent as a text but taken as a number.
    kind = next((kind for kind in kinds if kind.get("type") == "number"), kinds[0]) | says
    if kind.get("format") == "decimal":
        kind = says | {"oneOf": [{"type": "number"}, {"type": "string", "format": "decimal"}]}
    return kind | ({"nullable": True} if "anyOf" in limits else {})


EVENT: dict[str, Any] = _inlined(Event) | {"additionalProperties": True}
ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["accepted", "duplicates", "rejected", "rejected_count"],
    "properties": {
        "accepted": {"type": "integer", "description": "Committed by this request"},
        "duplicates": {"type": "integer", "description": "Already there, or twice in this body"},
        "rejected": {"type": "array", "items": _inlined(Rejection), "description": "The first 1,000"},
        "rejected_count": {"type": "integer", "description": "All rejected events"},
    },
}
ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "field": {"type": "string", "nullable": True},
                "fix": {"type": "string"},
            },
        }
    },
}
EXAMPLE_EVENT = {
    "event_id": "9b2f6c1e-6a3e-4a55-9a43-0d7c7b7a51f0",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "operation": "chat",
    "provider": "openai",
    "model": "gpt-4o-mini",
    "feature": "answers",
    "tenant": "acme",
    "latency_ms": 1240,
    "ttft_ms": 310,
    "input_tokens": 1850,
    "cached_input_tokens": 1024,
    "output_tokens": 212,
    "status": "success",
    "prompt_version": "answers-14",
    "release": "2026.11.3",
}


def _refusal(says: str) -> OpenApiResponse:
    return OpenApiResponse(response=ERROR, description=says)


EVENTS_SCHEMA: dict[str, Any] = {
    "operation_id": "record_events",
    "summary": "Send usage events",
    "description": (
        "One event, an array, or one event a line (NDJSON); plain, gzip or zstd. Committed before it is acknowledged. "
        "Bad events are listed with index, field and fix; the good ones are kept. Sending the same event_id with the "
        "same occurred_at again is a duplicate, not a second event."
    ),
    "tags": ["events"],
    "parameters": [
        OpenApiParameter(
            "Idempotency-Key",
            str,
            OpenApiParameter.HEADER,
            description="Up to 200 characters. A retry with the same key and body gets the first answer again.",
        ),
        OpenApiParameter("Content-Encoding", str, OpenApiParameter.HEADER, enum=["gzip", "zstd"]),
    ],
    "request": {
        "application/json": {"oneOf": [{"type": "array", "items": EVENT}, EVENT]},
        "application/x-ndjson": {"type": "string", "description": "One event a line"},
    },
    "examples": [
        OpenApiExample("One event", value=EXAMPLE_EVENT, request_only=True, media_type="application/json"),
        OpenApiExample("A batch", value=[EXAMPLE_EVENT], request_only=True, media_type="application/json"),
    ],
    "responses": {
        202: OpenApiResponse(response=ANSWER, description="Committed; bad events are listed"),
        400: OpenApiResponse(
            response={"oneOf": [ANSWER, ERROR]}, description="Every event is bad, or the body cannot be read"
        ),
        401: _refusal("No key, or an unknown or revoked one"),
        403: _refusal("The key lacks the scope ingest"),
        409: _refusal("The Idempotency-Key was used for another body"),
        413: _refusal("Too many bytes or events"),
        415: _refusal("Content-Type or Content-Encoding not supported"),
        429: _refusal("Overloaded; see Retry-After"),
        503: _refusal("Database away, full or read-only; see Retry-After"),
    },
}
