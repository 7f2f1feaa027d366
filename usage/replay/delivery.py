"""One keep-alive connection to the ingest: posts a batch until it is acknowledged, refused for good, or given up."""

import contextlib
import gzip
import http.client
import random
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import msgspec
import zstandard

_PATH = "/api/v1/events"
_TIMEOUT_S = 60
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0
_RETRY = frozenset({408, 425, 429, 500, 502, 503, 504})
SHOWN_PROBLEMS = 5


class Refused(Exception):
    """An answer that a retry cannot mend: wrong key, wrong scope, too large, not our ingest."""


class GaveUp(Exception):
    """A batch was not acknowledged in time."""


class Stopped(Exception):
    """The replay is ending; the batch in hand is not acknowledged."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a batch; `problems` are the first rejections, as the desk worded them."""

    accepted: int
    duplicates: int
    rejected: int
    retries: int = 0
    problems: tuple[dict, ...] = ()


class Delivery:
    """A connection of its own thread. `give_up` is how many seconds one batch may stay unacknowledged."""

    def __init__(self, url: str, *, encoding: str, give_up: float, stop: threading.Event):
        self.url = urlsplit(url)
        self.encoding = encoding
        self.give_up = give_up
        self.stop = stop
        self.connection: http.client.HTTPConnection | None = None

    def deliver(self, key: str, lines: list[bytes]) -> Answer:
        """Posts the events. Raises Refused, GaveUp or Stopped; whatever else goes wrong is tried again."""
        body, headers = self._body(key, lines)
        deadline, retries = time.monotonic() + self.give_up, 0
        while True:
            wait, reason = self._try(body, headers, len(lines), retries)
            if isinstance(wait, Answer):
                return wait
            if time.monotonic() + wait > deadline:
                raise GaveUp(f"Not acknowledged for {self.give_up:.0f} s; the last try: {reason}.")
            if self.stop.wait(wait):
                raise Stopped
            retries += 1

    def close(self) -> None:
        """Drops the connection; the next delivery opens a new one."""
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.close()
        self.connection = None

    def _body(self, key: str, lines: list[bytes]) -> tuple[bytes, dict[str, str]]:
        body = b"\n".join(lines)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
        if self.encoding:
            headers["Content-Encoding"] = self.encoding
        if self.encoding == "gzip":
            body = gzip.compress(body, compresslevel=1, mtime=0)
        elif self.encoding == "zstd":
            body = zstandard.ZstdCompressor(level=1).compress(body)
        return body, headers

    def _try(self, body: bytes, headers: dict, count: int, retries: int) -> tuple[Answer | float, str]:
        """The answer, or how long to wait before the next try and why."""
        try:
            status, retry_after, text = self._post(body, headers)
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            return _backoff(retries), f"{type(problem).__name__} {problem}".strip()
        if status in _RETRY:
            return max(_asked_wait(retry_after), 0.0 if retry_after else _backoff(retries)), f"HTTP {status}"
        return _answer(status, text, count, retries), ""

    def _post(self, body: bytes, headers: dict) -> tuple[int, str | None, bytes]:
        if self.connection is None:
            kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
            self.connection = kind(self.url.netloc, timeout=_TIMEOUT_S)
        self.connection.request("POST", self.url.path.rstrip("/") + _PATH, body, headers)
        response = self.connection.getresponse()
        text = response.read()
        return response.status, response.headers.get("Retry-After"), text


def _backoff(retries: int) -> float:
    longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(retries, 10))
    return longest * random.uniform(0.5, 1)  # noqa: S311 -- jitter only


def _asked_wait(retry_after: str | None) -> float:
    """Seconds the server asked for: a number or an HTTP date; 0 if it asked for none or for nonsense."""
    if not retry_after:
        return 0.0
    if retry_after.strip().isdigit():
        return float(retry_after)
    with contextlib.suppress(ValueError):
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    return 0.0


def _answer(status: int, text: bytes, count: int, retries: int) -> Answer:
    """Reads a 202, or a 400 that rejects every event one by one; anything else is refused."""
    try:
        said = msgspec.json.decode(text)
        accepted, duplicates, rejected = said["accepted"], said["duplicates"], said["rejected"]
    except (msgspec.DecodeError, KeyError, TypeError) as problem:
        raise Refused(f"HTTP {status}: {text[:300].decode(errors='replace')}") from problem
    if status not in (200, 202, 400):
        raise Refused(f"HTTP {status}: {text[:300].decode(errors='replace')}")
    # What the desk does not vouch for is not stored, however many rejections it lists.
    missing = count - accepted - duplicates
    if missing < 0:
        raise Refused(f"The answer counts {accepted + duplicates} events of {count} that were sent.")
    return Answer(accepted, duplicates, missing, retries, tuple(rejected[:SHOWN_PROBLEMS]))
