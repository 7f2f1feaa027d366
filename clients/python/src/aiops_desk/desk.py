"""The client for programs that wait."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from aiops_desk import wire
from aiops_desk.answers import Closed, Decision, Sent
from aiops_desk.errors import DeskError
from aiops_desk.fields import Call, Event, FailPolicy, Usage
from aiops_desk.flows import Flows, log
from aiops_desk.held import DEFAULT_TTL, Held

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")


class Desk:
    """A desk and a key of it. One for the whole program: it keeps connections and is safe between threads (make it
    after a fork).

    `timeout`: seconds one question may take in all. `fail`: what to do with a call when the desk does not answer: go on
    unguarded (open), raise DeskUnavailable (closed), or whichever the desk last told for such a call (as_told).
    `patience`: seconds for which `send_events` repeats. `transport` replaces httpx's, for a proxy or certificates.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        timeout: float = 2.0,
        fail: FailPolicy = "as_told",
        patience: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._flows = Flows(timeout, fail, patience)
        self._http = httpx.Client(
            base_url=base_url, headers=wire.headers(key), transport=transport, limits=wire.LIMITS, timeout=timeout
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Tell the desk what it could not be told before, once, and close the connections."""
        try:
            self.flush()
        finally:
            self._http.close()

    @property
    def unsent(self) -> int:
        """How many settlements and releases wait for a desk that was away; the next one to succeed takes them along."""
        return self._flows.unsent

    def flush(self) -> int:
        """Send those now; returns how many remain. Raises nothing for the desk's sake."""
        return self._run(self._flows.flush())

    @contextmanager
    def guard(self, **call: Unpack[Call]) -> Iterator[Reservation]:
        """Ask for a call, and hold its estimated cost while the block runs.

        Raises Denied; DeskUnavailable under fail-closed; RequestRefused. Call `settle` in the block. Left without it,
        the estimate is booked; left by an exception, everything is given back.
        """
        asked_at = time.monotonic()
        held = Reservation(self, self.reserve(**call), call.get("ttl_seconds", DEFAULT_TTL), asked_at)
        try:
            yield held
        except BaseException:
            held._leave("release")
            raise
        held._leave("settle")

    def check(self, **call: Unpack[Call]) -> Decision:
        """What `guard` would be told at this moment; nothing is held. Under the fail policy; raises as `reserve`."""
        return self._run(self._flows.decide("check", call))

    def reserve(self, **call: Unpack[Call]) -> Decision:
        """The decision, with a `reservation_id` to settle, release or let expire. Deny is an answer, not an exception.

        Under the fail policy: raises DeskUnavailable where it is closed. Raises RequestRefused.
        """
        return self._run(self._flows.decide("reserve", call))

    def settle(self, reservation_id: str, **usage: Unpack[Usage]) -> Closed:
        """Book what a call cost; again with the same figures is no harm. Raises DeskUnavailable, RequestRefused."""
        return self._run(self._flows.close("settle", {"reservation_id": reservation_id, **usage}))

    def release(self, reservation_id: str) -> Closed:
        """Give back what was held for a call not made. Raises DeskUnavailable, RequestRefused."""
        return self._run(self._flows.close("release", {"reservation_id": reservation_id}))

    def extend(self, reservation_id: str, ttl_seconds: int = DEFAULT_TTL) -> Closed:
        """Let it last that long from now. Raises DeskUnavailable, and RequestRefused where it has ended."""
        return self._run(self._flows.close("extend", {"reservation_id": reservation_id, "ttl_seconds": ttl_seconds}))

    def batch(self, requests: Sequence[Mapping[str, Any]]) -> list[Decision | Closed | DeskError]:
        """Up to 100 requests, each a dict with `op` (reserve, check, settle, release, extend) and its fields.

        Answers in their order, problems as exceptions that are not raised. Raises DeskUnavailable and RequestRefused
        for the batch as a whole; the fail policy is not applied.
        """
        return self._run(self._flows.batch(requests))

    def send_events(self, events: Iterable[Event], *, idempotency_key: str | None = None) -> Sent:
        """Send up to 10,000 usage events, repeating for `patience` seconds while the desk is busy or away.

        Each is counted once however often it is sent here. Look at `rejected` of the answer. Raises DeskUnavailable
        when the patience is over (send the same events with the same key again) and RequestRefused.
        """
        return self._run(self._flows.send_events(events, idempotency_key))

    def _close_or_keep(self, operation: str, fields: Mapping[str, Any]) -> Closed | None:
        return self._run(self._flows.close_or_keep(operation, fields))

    def _run(self, flow: wire.Flow[T]) -> T:
        told: wire.Heard | wire.Lost | None = None
        try:
            while True:
                told = self._do(flow.send(told))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            flow.close()

    def _do(self, step: wire.Post | wire.Pause) -> wire.Heard | wire.Lost | None:
        if isinstance(step, wire.Pause):
            time.sleep(step.seconds)
            return None
        body = wire.Body(step.until)
        try:
            with self._http.stream("POST", step.path, **wire.options(step)) as answer:
                for part in answer.iter_bytes():
                    body.add(part)
                return body.heard(answer)
        except httpx.HTTPError as exc:
            return wire.lost(exc)


class Reservation(Held):
    """What `guard` gives to its block."""

    def __init__(self, desk: Desk, answer: Decision, ttl_seconds: int, asked_at: float) -> None:
        super().__init__(answer, ttl_seconds, asked_at)
        self._desk = desk

    def settle(self, **usage: Unpack[Usage]) -> Closed | None:
        """Book what the call used. None where nothing was reserved, or where the desk is told later.

        Raises RequestRefused: a wrong field, or settled before with other figures.
        """
        return self._end("settle", usage)

    def release(self) -> Closed | None:
        """The call was not made: give everything back. Answers as `settle`."""
        return self._end("release", {})

    def extend(self, ttl_seconds: int | None = None) -> Closed | None:
        """Let it last that long from now, else as long as it was made for. None where nothing is reserved.

        Raises DeskUnavailable, and RequestRefused where it has expired: then its room may be another's.
        """
        if self.id is None:
            return None
        asked_at, ttl = time.monotonic(), ttl_seconds or self._ttl
        told = self._desk.extend(self.id, ttl)
        self._extended(asked_at, ttl)
        return told

    def extending(self, parts: Iterable[T]) -> Iterator[T]:
        """The same parts; while they come, the reservation is extended whenever half of its time is over.

        It looks when a part comes, so `ttl_seconds` should be twice the longest silence. A failure to extend is logged
        and tried again: the stream goes on, and what it cost is booked in any case.
        """
        for part in parts:
            if self._is_due():
                self._try_to_extend()
            yield part

    def _try_to_extend(self) -> None:
        try:
            self.extend()
        except DeskError as exc:
            self._put_off(exc)

    def _end(self, operation: str, fields: Mapping[str, Any]) -> Closed | None:
        if self.id is None:
            return self._ended(None)
        told = self._desk._close_or_keep(operation, {"reservation_id": self.id, **fields})
        return self._ended(told)

    def _leave(self, operation: str) -> None:
        """At the end of the block, where a problem of the guard must not take the answer of the model along."""
        if self._over:
            return
        try:
            self._end(operation, {})
        except DeskError as exc:
            log.warning("%s of %s at the end of its block: %s", operation, self.id, exc)
