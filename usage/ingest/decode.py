"""One raw event → Event, or the problem that keeps it out.

The fast path is one call of msgspec. Only an event it refuses is looked at field by field: unknown fields move to
`attributes`, and what remains wrong is named with its limit.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from usage.ingest.checks import attributes_problem, attributes_too_large, text_problem, unstorable
from usage.ingest.parse import RawEvent, mended
from usage.ingest.problems import Problem
from usage.ingest.shape import FIELD_TYPES, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTE_NAME, Event

decode_event = msgspec.json.Decoder(Event).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_anything = msgspec.json.Decoder(Any)
_one_field = {name: msgspec.json.Decoder(kind) for name, kind in FIELD_TYPES.items()}
_limits: dict[str, dict[str, Any]] = msgspec.json.schema(Event)["$defs"]["Event"]["properties"]
_MONEY = ("cost_usd", "reported_cost_usd")
_MONEY_AS_TEXT = re.compile(rb'cost_usd"\s*:\s*"')
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGRAL = re.compile(rb"(-?\d{1,19})\.0+")
_COUNTS = frozenset(
    name
    for name, limits in _limits.items()
    if any(kind.get("type") == "integer" for kind in limits.get("anyOf", [limits]))
)
# Beyond this an event is taken apart before anything in it is decoded.
BIG_EVENT = 65_536


def decode(raw: RawEvent) -> Event | Problem:
    """Decode one event. Never raises for what a client sent."""
    if memoryview(raw).nbytes <= BIG_EVENT:
        try:
            event = decode_event(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _taken_apart(bytes(raw))
        if event.attributes is not None and (problem := attributes_problem(event.attributes)):
            return problem
        if _has_cost(event) and _MONEY_AS_TEXT.search(raw) and (problem := _money_problem(event, _fields.decode(raw))):
            return problem
        return event
    return _taken_apart(bytes(raw))


def _has_cost(event: Event) -> bool:
    return event.cost_usd is not None or event.reported_cost_usd is not None


def event_id_of(raw: RawEvent) -> str | None:
    """The id of an event that cannot be decoded as a whole, to name it in the answer."""
    try:
        return _one_field["event_id"].decode(_fields.decode(mended(bytes(raw)))["event_id"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None


def _taken_apart(raw: bytes) -> Event | Problem:
    try:
        fields = _fields.decode(mended(raw))
    except msgspec.ValidationError:
        return Problem("", "not_an_object", "An event must be a JSON object.", 'Send {"event_id": "…", …}.')
    except RecursionError:
        return Problem("", "too_deep", "The event is nested too deeply.", "Send flat fields.")
    except UnicodeDecodeError as exc:
        return _not_utf8(exc)
    except msgspec.DecodeError as exc:
        return _malformed(exc)
    unknown = {name: fields.pop(name) for name in fields.keys() - FIELD_TYPES.keys()}
    return _assembled(fields, unknown)


def _malformed(exc: msgspec.DecodeError) -> Problem:
    return Problem("", "malformed_json", str(exc), "Check this event with a JSON validator.")


def _not_utf8(exc: UnicodeDecodeError) -> Problem:
    return Problem("", "invalid_utf8", f"The event is not UTF-8 ({exc.reason}).", "Encode the body as UTF-8.")


def _assembled(fields: dict[str, msgspec.Raw], unknown: dict[str, msgspec.Raw]) -> Event | Problem:
    given = fields.pop("attributes", None)
    parts = {name: _as_integer(name, bytes(value)) for name, value in fields.items()}
    try:
        event = decode_event(b"{%s}" % b",".join(b'"%s":%s' % (name.encode(), value) for name, value in parts.items()))
        attributes = _attributes(given, unknown)
    except UnicodeDecodeError as exc:
        return _not_utf8(exc)
    except (msgspec.DecodeError, RecursionError):
        return _diagnosed(parts)
    if isinstance(attributes, Problem):
        return attributes
    if problem := _money_problem(event, parts):
        return problem
    event.attributes = attributes
    # Mending may have put marked texts into it, which no escape in the body gives away.
    return text_problem(event) or event


def _money_problem(event: Event, fields: Mapping[str, msgspec.Raw | bytes]) -> Problem | None:
    """An amount sent as a text that other programs would not read so: Decimal takes "1_0", and digits of any script."""
    for name in _MONEY:
        amount = getattr(event, name)
        if amount is None or not amount.is_finite() or not (text := bytes(fields[name])).startswith(b'"'):
            continue
        if not _PLAIN_NUMBER.fullmatch(msgspec.json.decode(text)):
            message = f"{name}: must be a number in the digits 0 to 9; got {_seen(text)}."
            return Problem(name, "wrong_type", message, "Send it as 0.0123: a point, and nothing between the digits.")
    return None


def _as_integer(name: str, value: bytes) -> bytes:
    """12.0 → 12: some clients have only one kind of number."""
    if name in _COUNTS and (whole := _INTEGRAL.fullmatch(value)):
        return whole[1]
    return value


def _attributes(given: msgspec.Raw | None, unknown: dict[str, msgspec.Raw]) -> dict[str, Any] | Problem | None:
    """Given attributes and unknown fields as one object, or why they are refused."""
    size = sum(memoryview(value).nbytes for value in (*unknown.values(), *([given] if given else [])))
    if size > BIG_EVENT:
        return attributes_too_large(size)
    merged: dict[str, Any] = {}
    for name, value in unknown.items():
        try:
            merged[name] = _anything.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return _unreadable(f"attributes.{name[:MAX_ATTRIBUTE_NAME]}")
    if given is not None:
        try:
            merged |= _one_field["attributes"].decode(given) or {}
        except (msgspec.DecodeError, RecursionError):
            return _unreadable("attributes")
    return attributes_problem(merged) or merged or None


def _unreadable(field: str) -> Problem:
    return Problem(
        field,
        "invalid",
        f"{field} cannot be kept: it is no JSON of moderate depth and size"
        + (", or attributes is not an object." if field == "attributes" else "."),
        f"Send values of up to {MAX_ATTRIBUTE_BYTES} bytes with numbers that fit a double.",
    )


def _diagnosed(parts: dict[str, bytes]) -> Problem:
    if "event_id" not in parts:
        return Problem(
            "event_id", "missing", "event_id is missing.", "Send an id that is the same at every retry, e.g. a UUID."
        )
    for name, value in parts.items():
        try:
            _one_field[name].decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            return _field_problem(name, value, exc)
    return Problem("", "invalid", "The event cannot be read.", "Compare it with the example in the API documentation.")


def _field_problem(name: str, value: bytes, exc: Exception) -> Problem:
    if value.startswith(b'"\\u0000NaN'):
        return unstorable(name, "\x00NaN")
    if name == "occurred_at":
        return _moment_problem(value)
    message = f"{name}: {_expectation(name)}; got {_seen(value)}."
    return Problem(name, _code(exc), message, _fix(name, value))


def _moment_problem(value: bytes) -> Problem:
    naive = re.fullmatch(rb'"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?"', value) is not None
    return Problem(
        "occurred_at",
        "no_time_zone" if naive else "invalid_time",
        f"occurred_at must be ISO 8601 with a time zone; got {_seen(value)}.",
        "Add Z or an offset, e.g. 2026-01-31T09:30:00.250Z."
        if naive
        else "Send a text such as 2026-01-31T09:30:00.250Z.",
    )


def _code(exc: Exception) -> str:
    text = str(exc)
    if "length" in text:
        return "too_long" if "<=" in text else "too_short"
    if ">=" in text or "<=" in text or "out of range" in text:
        return "out_of_range"
    return "unknown_value" if "enum" in text else "wrong_type"


def _expectation(name: str) -> str:
    """What a field takes, in words, from its limits."""
    kinds = _limits[name].get("anyOf", [_limits[name]])
    kind = next(one for one in kinds if one.get("type") != "null")
    if "enum" in kind:
        return "must be one of " + ", ".join(str(value) for value in sorted(kind["enum"]))
    if "maximum" in kind:
        noun = "a number" if any(one.get("type") == "number" for one in kinds) else "a whole number"
        return f"must be {noun} from {kind['minimum']:g} to {kind['maximum']:,.0f}"
    if "maxLength" in kind:
        return f"must be a text of {kind.get('minLength', 0)} to {kind['maxLength']} characters"
    return {"boolean": "must be true or false", "object": "must be an object"}.get(
        kind.get("type", ""), "must be a number"
    )


def _seen(value: bytes) -> str:
    text = value[:60].decode(errors="replace")
    if value.startswith(b'"') and len(value) > 62:
        return f"a text of about {len(value) - 2} bytes"
    return text if len(value) <= 60 else text + "…"


def _fix(name: str, value: bytes) -> str:
    if value.startswith(b'"') and re.fullmatch(rb'"-?[\d.]+"', value) and "text" not in _expectation(name):
        return "Send the number without quotes."
    if value.startswith(b"-"):
        return "Send null, or leave it out, where it is unknown."
    return "Correct it, or leave the field out where it is unknown."
