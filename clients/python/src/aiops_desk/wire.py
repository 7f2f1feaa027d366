"""Requests and answers as bytes, and the words in which flows ask for them.

A flow is a generator that yields what is to be done (`Post`, `Pause`) and is sent what came of it. It does nothing by
itself, so the same flow serves Desk, which blocks, and AsyncDesk, which awaits.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

import httpx

from aiops_desk import __version__
from aiops_desk.errors import DeskError, DeskUnavailable, RequestRefused

T = TypeVar("T")
GUARD, EVENTS = "/api/v1/guard/", "/api/v1/events"
# Few connections: what httpx's pool does for each request grows with their square, 0.1 s of processor time at 200.
# They expire before the 75 s after which the desk's web server hangs up, so that a pooled one is seldom dead.
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=20, keepalive_expiry=60)
# The connection broke under way: the request may have been done or not. What cannot connect is not worth a second try.
_BROKEN = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)


@dataclass(frozen=True)
class Post:
    """Send this and have its answer until then, by time.monotonic()."""

    path: str
    body: bytes
    until: float
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Pause:
    """Do nothing for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Heard:
    """An answer; `retry_after` in seconds."""

    status: int
    body: bytes
    retry_after: float | None


@dataclass(frozen=True)
class Lost:
    """No answer. `broken`: the connection was there and broke."""

    message: str
    broken: bool


Flow = Generator["Post | Pause", "Heard | Lost | None", T]


class Remaining(Mapping[str, float]):
    """httpx's time-outs (connect, read, write, pool), each asked for when its phase begins: what is left until then.

    Given as numbers each phase would have the whole time anew, and an answer could take four times as long.
    """

    def __init__(self, until: float) -> None:
        self._until = until

    def __getitem__(self, name: str) -> float:
        return max(self._until - monotonic(), 0.001)

    def __iter__(self) -> Iterator[str]:
        return iter(("connect", "read", "write", "pool"))

    def __len__(self) -> int:
        return 4


class Body:
    """The parts of an answer's body as they come; a desk that only drips is late all the same."""

    def __init__(self, until: float) -> None:
        self._until, self._parts = until, list[bytes]()

    def add(self, part: bytes) -> None:
        """Raises httpx.ReadTimeout when the time is over."""
        self._parts.append(part)
        if monotonic() > self._until:
            raise httpx.ReadTimeout("the answer was not complete in time")

    def heard(self, answer: httpx.Response) -> Heard:
        return Heard(answer.status_code, b"".join(self._parts), _seconds(answer.headers.get("Retry-After")))


def headers(key: str) -> dict[str, str]:
    """Of every request. Raises ValueError without a key."""
    if not key:
        raise ValueError("key is empty: make one with the scope guard (and ingest) under Settings → Teams.")
    return {"Authorization": f"Bearer {key}", "User-Agent": f"aiops-desk-python/{__version__}"}


def options(post: Post) -> dict[str, Any]:
    """Keyword arguments of httpx's `stream`."""
    return {"content": post.body, "headers": post.headers, "extensions": {"timeout": Remaining(post.until)}}


def lost(error: httpx.HTTPError) -> Lost:
    return Lost(f"{type(error).__name__} {error}".strip(), isinstance(error, _BROKEN))


def encode(content: Any) -> bytes:
    """JSON; Decimal and UUID as text, so that no digit is lost. Raises TypeError (a naive time) and ValueError."""
    return json.dumps(content, default=_plain, allow_nan=False, separators=(",", ":")).encode()


def read(heard: Heard | Lost | None) -> Any:
    """The JSON of a good answer. Raises DeskUnavailable and RequestRefused."""
    if not isinstance(heard, Heard):
        raise DeskUnavailable(f"The desk did not answer: {heard.message if heard else 'nothing was sent'}.")
    try:
        told = json.loads(heard.body)
    except ValueError:
        told = None
    if heard.status in (200, 202) and isinstance(told, dict):
        return told
    raise problem(heard.status, told, heard.retry_after)


def problem(status: int, told: Any, retry_after: float | None = None) -> DeskError:
    """The exception for an answer that is none of the good ones."""
    error = _part(told, "error")
    message = str(error.get("message", f"The desk answered {status}, and nothing that can be read."))
    if status == 429 or status >= 500 or status in (200, 202):
        return DeskUnavailable(message, retry_after=retry_after, told=_part(told, "fallback").get("decision"))
    if "code" not in error:
        return RequestRefused(status, "not_a_desk", "This is not the answer of a desk.", fix="Check base_url.")
    return RequestRefused(status, error["code"], message, error.get("field"), error.get("fix") or "")


def _part(told: Any, name: str) -> dict[str, Any]:
    """An object within an answer, empty where there is none: a proxy may answer anything."""
    part = told.get(name) if isinstance(told, dict) else None
    return part if isinstance(part, dict) else {}


def _plain(value: Any) -> str:
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.isoformat()
    raise TypeError(f"{value!r} cannot be sent: times need a zone, other objects are not JSON.")


def _seconds(text: str | None) -> float | None:
    """Retry-After as seconds or as a date (RFC 9110, 10.2.3); None where it is absent or neither."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max((parsedate_to_datetime(text) - datetime.now(timezone.utc)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None
