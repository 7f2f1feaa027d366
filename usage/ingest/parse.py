"""Body → raw events, each still as bytes, so that one bad event spoils no other and memory stays small.

msgspec finds the bounds of the elements of an array without decoding them. What JSON cannot say but clients send all
the same (NaN, Infinity, half a surrogate pair) makes that fail for the whole body; then one pass puts a marked text in
its place, which the checks refuse for that event alone.
"""

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from usage.ingest.problems import BodyRefused

RawEvent = msgspec.Raw | bytes

_elements = msgspec.json.Decoder(list[msgspec.Raw])
_element = msgspec.json.Decoder(msgspec.Raw)
# Commas per event, on average, that a body may have before it is split: a bound on the elements held at once.
_COMMAS_PER_EVENT = 100
_UTF8_STEP = 1 << 20

# A JSON text, or what is no JSON. Possessive, and an unclosed text ends with the body, so that time stays linear.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z|\\\Z)|-?Infinity|-?NaN', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


@dataclass(frozen=True)
class Parsed:
    """The raw events of a body. `escapes`: some text may need escaping for COPY; `oddities`: some may have a NUL."""

    events: Iterator[RawEvent]
    escapes: bool
    oddities: bool


def parse(body: bytes, *, lines: bool, max_events: int) -> Parsed:
    """Split a body of one object, an array, or one object a line.

    `lines` says the client declared NDJSON; a body that is plainly one is taken as such anyway. Raises BodyRefused for
    an empty or malformed body. More than `max_events` raises 413, for lines only when that line is reached.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    first = body[:64].lstrip()[:1] or body.lstrip()[:1]
    if not first:
        raise BodyRefused(400, "empty_body", "The body is empty.", "Send one event, an array, or one event a line.")
    if not lines:
        _check_utf8(body)
    if lines or (first == b"{" and _looks_like_lines(body)):
        return _parsed(_lines(body, max_events), body)
    if body.count(b",") > max_events * _COMMAS_PER_EVENT:
        raise too_many_events(max_events)
    body, raw = _split(body, first)
    if len(raw) > max_events:
        raise too_many_events(max_events)
    return _parsed(iter(raw), body)


def _parsed(events: Iterator[RawEvent], body: bytes) -> Parsed:
    """A single byte is found a hundred times faster than two, and most bodies have no escape at all."""
    escapes = b"\\" in body
    return Parsed(events, escapes, escapes and b"\\u" in body)


def too_many_events(limit: int) -> BodyRefused:
    return BodyRefused(
        413,
        "too_many_events",
        f"The body has more than {limit} events (or more values than so many events have).",
        f"Send batches of up to {limit} events; 500 to 2,000 work best.",
    )


def _check_utf8(body: bytes) -> None:
    """Refuse a body that is not UTF-8, naming the byte. Decodes in steps, so a large body is not doubled."""
    if body.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), _UTF8_STEP):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(body[start : start + _UTF8_STEP], final=start + _UTF8_STEP >= len(body))
        except UnicodeDecodeError as exc:
            at = start - pending + exc.start
            raise BodyRefused(
                400, "invalid_utf8", f"The body is not UTF-8: byte {at} is wrong ({exc.reason}).", "Encode it as UTF-8."
            ) from exc


def _looks_like_lines(body: bytes) -> bool:
    """Whether a body that starts with { is several objects rather than one, perhaps pretty-printed."""
    newline = body.find(b"\n", body.find(b"{"))
    if newline < 0 or not body[newline:].strip():
        return False
    try:
        _element.decode(mended(body[:newline]))
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _lines(body: bytes, max_events: int) -> Iterator[bytes]:
    count = 0
    for line in io.BytesIO(body):
        if text := line.strip():
            count += 1
            if count > max_events:
                raise too_many_events(max_events)
            yield text


def _split(body: bytes, first: bytes) -> tuple[bytes, list[msgspec.Raw]]:
    try:
        return body, _decode(body, first)
    except msgspec.DecodeError as exc:
        repaired = mended(body)
        if repaired == body:
            raise _malformed(exc) from exc
    try:
        return repaired, _decode(repaired, first)
    except msgspec.DecodeError as exc:
        raise _malformed(exc) from exc


def _decode(body: bytes, first: bytes) -> list[msgspec.Raw]:
    try:
        return _elements.decode(body) if first == b"[" else [_element.decode(body)]
    except RecursionError as exc:
        raise BodyRefused(400, "too_deep", "The body is nested too deeply.", "Send an array of flat objects.") from exc


def _malformed(exc: msgspec.DecodeError) -> BodyRefused:
    return BodyRefused(400, "malformed_json", str(exc), "Check the body with a JSON validator; it may be cut off.")


def _has_nan(raw: bytes) -> bool:
    return b"NaN" in raw or b"Infinity" in raw


def mended(raw: bytes) -> bytes:
    """`raw` with NaN, Infinity and half surrogate pairs as marked texts that the checks refuse; else unchanged."""
    return _TOKEN.sub(_mark, raw) if _has_nan(raw) or b"\\ud" in raw or b"\\uD" in raw else raw


def _mark(token: re.Match[bytes]) -> bytes:
    text = token[0]
    if not text.startswith(b'"'):
        return b'"\\u0000NaN"'
    return _ESCAPE.sub(_mark_lone, text) if b"\\u" in text else text


def _mark_lone(escape: re.Match[bytes]) -> bytes:
    return b"\\u0000surrogate" if escape["lone"] else escape[0]
