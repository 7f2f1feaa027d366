"""What the client does, step by step, for Desk and AsyncDesk alike."""

from __future__ import annotations

import gzip
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import uniform
from time import monotonic
from typing import Any, TypeVar, get_args
from uuid import uuid4

from aiops_desk import answers
from aiops_desk.answers import Closed, Decision, Reason, Sent
from aiops_desk.errors import DeskError, DeskUnavailable, RequestRefused
from aiops_desk.fields import Event, FailPolicy, present
from aiops_desk.policy import Told
from aiops_desk.wire import EVENTS, GUARD, Flow, Heard, Lost, Pause, Post, encode, problem, read

log = logging.getLogger("aiops_desk")
T = TypeVar("T")

JSON = {"Content-Type": "application/json"}
LARGEST_BATCH = 100
# Settlements and releases the desk could not be told: so many are kept, the oldest go first.
MOST_UNSENT = 1_000
# Seconds one attempt to send events may take, and the longest wait between two where the desk names none.
EVENTS_SECONDS, LONGEST_PAUSE = 30.0, 10.0
_CLOSING = frozenset({"settle", "release", "extend"})


class Flows:
    """The client's state and its flows. Safe between threads."""

    def __init__(self, timeout: float, fail: FailPolicy, patience: float) -> None:
        if fail not in get_args(FailPolicy):
            raise ValueError(f"fail must be one of {', '.join(get_args(FailPolicy))}, not {fail!r}.")
        if timeout <= 0 or patience < 0:
            raise ValueError("timeout must be more than 0 seconds, and patience not less.")
        self._timeout, self._fail, self._patience = timeout, fail, patience
        self._told = Told()
        self._unsent: deque[dict[str, Any]] = deque()

    @property
    def unsent(self) -> int:
        """How many settlements and releases wait for the desk."""
        return len(self._unsent)

    def decide(self, operation: str, call: Mapping[str, Any]) -> Flow[Decision]:
        """A reserve or check, under the fail policy. Raises DeskUnavailable where that says closed, RequestRefused."""
        try:
            told = yield from self._ask(operation, _named(operation, call), answers.decision)
        except DeskUnavailable as gone:
            return self._without_desk(call, gone)
        self._told.remember(call, told.fail)
        return told

    def close(self, operation: str, fields: Mapping[str, Any]) -> Flow[Closed]:
        """A settle, release or extend. Raises DeskUnavailable and RequestRefused."""
        return (yield from self._ask(operation, present(fields), answers.closed))

    def close_or_keep(self, operation: str, fields: Mapping[str, Any]) -> Flow[Closed | None]:
        """As close; what the desk cannot be told now is kept, and the answer is None. Raises RequestRefused."""
        asked = {"op": operation, **present(fields)}
        try:
            told = yield from self.close(operation, fields)
        except DeskUnavailable as gone:
            log.warning("%s of %s is kept for later: %s", operation, asked["reservation_id"], gone)
            self._keep([asked])
            return None
        except GeneratorExit:  # cancelled or interrupted: whether it arrived is not known, and telling it twice is safe
            self._keep([asked])
            raise
        yield from self.flush()
        return told

    def flush(self) -> Flow[int]:
        """Send what was kept; returns how many remain. Never raises for the desk's sake."""
        while self._unsent:
            some = [self._unsent.popleft() for _ in range(min(len(self._unsent), LARGEST_BATCH))]
            left = some
            try:
                left = _not_done(some, (yield from self.batch(some)))
            except DeskError as exc:
                log.warning("%d settlements and releases are kept for later: %s", len(some), exc)
            finally:
                self._keep(left)
            if left:
                break
        return len(self._unsent)

    def batch(self, requests: Sequence[Mapping[str, Any]]) -> Flow[list[Decision | Closed | DeskError]]:
        """Several requests, answered each by itself, problems as exceptions that are not raised.

        Raises DeskUnavailable and RequestRefused for the batch as a whole.
        """
        asked = [_named(str(one.get("op")), one) for one in requests]
        results = yield from self._ask("batch", {"requests": asked}, lambda told: list(told["results"]))
        if len(results) != len(asked):
            raise DeskUnavailable("The desk answered another number of requests than it was asked.")
        return [self._one(one, told) for one, told in zip(asked, results, strict=True)]

    def send_events(self, events: Iterable[Event], idempotency_key: str | None) -> Flow[Sent]:
        """POST them until the desk has them, for `patience` seconds. Raises DeskUnavailable and RequestRefused."""
        body = gzip.compress(encode([{"event_id": str(uuid4()), **event} for event in events]), compresslevel=6)
        headers = JSON | {"Content-Encoding": "gzip", "Idempotency-Key": idempotency_key or str(uuid4())}
        until, attempt = monotonic() + self._patience, 0
        while True:
            heard = yield Post(EVENTS, body, monotonic() + EVENTS_SECONDS, headers)
            try:
                return _parsed(answers.sent, _read_events(heard))
            except DeskUnavailable as gone:
                wait = _wait(gone, attempt)
                if monotonic() + wait > until:
                    raise
                log.info("events are sent again in %.1f s: %s", wait, gone)
            yield Pause(wait)
            attempt += 1

    def _ask(self, operation: str, fields: Mapping[str, Any], parse: Callable[[Any], T]) -> Flow[T]:
        """One question within the time-out; once more where the connection broke, which every operation allows."""
        post = Post(GUARD + operation, encode(fields), monotonic() + self._timeout, JSON)
        heard = yield post
        if isinstance(heard, Lost) and heard.broken and monotonic() < post.until:
            heard = yield post
        return _parsed(parse, read(heard))

    def _one(self, asked: Mapping[str, Any], told: Any) -> Decision | Closed | DeskError:
        """The answer to one request of a batch."""
        status = told.get("status") if isinstance(told, dict) else None
        if status != 200:
            return problem(status if isinstance(status, int) else 500, told)
        if asked["op"] in _CLOSING:
            return _parsed(answers.closed, told)
        decided = _parsed(answers.decision, told)
        self._told.remember(asked, decided.fail)
        return decided

    def _without_desk(self, call: Mapping[str, Any], gone: DeskUnavailable) -> Decision:
        """What was asked for, unguarded, where the policy is to go on; else raises `gone`."""
        if self._policy(call, gone) == "closed":
            raise gone
        log.warning("the call goes on unguarded: %s", gone)
        return Decision(
            decision="allow",
            mode="unknown",
            provider=call.get("provider"),
            model=call["model"],
            max_output_tokens=call.get("max_output_tokens"),
            reason=Reason("desk_unavailable", f"Nothing is reserved, and the call may go on. {gone.message}"),
            fail="open",
            guarded=False,
        )

    def _policy(self, call: Mapping[str, Any], gone: DeskUnavailable) -> str:
        if self._fail != "as_told":
            return self._fail
        if gone.told is not None:
            return "closed" if gone.told == "deny" else "open"
        return self._told.of(call)

    def _keep(self, some: Sequence[dict[str, Any]]) -> None:
        self._unsent.extend(some)
        while len(self._unsent) > MOST_UNSENT:
            dropped = self._unsent.popleft()
            log.error("%s of %s is given up: too many wait", dropped["op"], dropped["reservation_id"])


def _named(operation: str, call: Mapping[str, Any]) -> dict[str, Any]:
    """A reserve gets an idempotency key, so that sending it twice reserves once."""
    fields = present(call)
    return {"idempotency_key": uuid4().hex, **fields} if operation == "reserve" else fields


def _parsed(parse: Callable[[Any], T], told: Any) -> T:
    try:
        return parse(told)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as exc:
        raise DeskUnavailable(f"The desk's answer cannot be read: {exc!r}.") from exc


def _not_done(some: list[dict[str, Any]], results: Sequence[object]) -> list[dict[str, Any]]:
    """Those to send again. What the desk refuses stays refused: it is logged."""
    for asked, result in zip(some, results, strict=True):
        if isinstance(result, RequestRefused):
            log.warning("%s of %s is refused: %s", asked["op"], asked["reservation_id"], result)
    return [asked for asked, result in zip(some, results, strict=True) if isinstance(result, DeskUnavailable)]


def _read_events(heard: Heard | Lost | None) -> Any:
    """As read; where every event is bad the desk answers 400 with the same body as for some."""
    if isinstance(heard, Heard) and heard.status == 400 and b'"rejected"' in heard.body:
        return read(Heard(200, heard.body, None))
    return read(heard)


def _wait(gone: DeskUnavailable, attempt: int) -> float:
    """Seconds until the next attempt: as told, else doubling; a little more by chance, so that clients spread."""
    if gone.retry_after is not None:
        return gone.retry_after * uniform(1, 1.1)  # noqa: S311 - no secret
    return min(0.25 * 2.0**attempt, LONGEST_PAUSE) * uniform(0.5, 1)  # noqa: S311
