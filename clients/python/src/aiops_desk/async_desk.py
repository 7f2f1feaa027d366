"""The client for programs on asyncio. What each method does is said in `desk.py`; here it is awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
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


class AsyncDesk:
    """As Desk, one per event loop."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        timeout: float = 2.0,
        fail: FailPolicy = "as_told",
        patience: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._flows = Flows(timeout, fail, patience)
        self._http = httpx.AsyncClient(
            base_url=base_url, headers=wire.headers(key), transport=transport, limits=wire.LIMITS, timeout=timeout
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """As Desk.close."""
        try:
            await self.flush()
        finally:
            await self._http.aclose()

    @property
    def unsent(self) -> int:
        """As Desk.unsent."""
        return self._flows.unsent

    async def flush(self) -> int:
        """As Desk.flush."""
        return await self._run(self._flows.flush())

    @asynccontextmanager
    async def guard(self, **call: Unpack[Call]) -> AsyncIterator[AsyncReservation]:
        """As Desk.guard, by `async with`."""
        asked_at = time.monotonic()
        held = AsyncReservation(self, await self.reserve(**call), call.get("ttl_seconds", DEFAULT_TTL), asked_at)
        try:
            yield held
        except BaseException:
            await held._leave("release")
            raise
        await held._leave("settle")

    async def check(self, **call: Unpack[Call]) -> Decision:
        """As Desk.check."""
        return await self._run(self._flows.decide("check", call))

    async def reserve(self, **call: Unpack[Call]) -> Decision:
        """As Desk.reserve."""
        return await self._run(self._flows.decide("reserve", call))

    async def settle(self, reservation_id: str, **usage: Unpack[Usage]) -> Closed:
        """As Desk.settle."""
        return await self._run(self._flows.close("settle", {"reservation_id": reservation_id, **usage}))

    async def release(self, reservation_id: str) -> Closed:
        """As Desk.release."""
        return await self._run(self._flows.close("release", {"reservation_id": reservation_id}))

    async def extend(self, reservation_id: str, ttl_seconds: int = DEFAULT_TTL) -> Closed:
        """As Desk.extend."""
        fields = {"reservation_id": reservation_id, "ttl_seconds": ttl_seconds}
        return await self._run(self._flows.close("extend", fields))

    async def batch(self, requests: Sequence[Mapping[str, Any]]) -> list[Decision | Closed | DeskError]:
        """As Desk.batch."""
        return await self._run(self._flows.batch(requests))

    async def send_events(self, events: Iterable[Event], *, idempotency_key: str | None = None) -> Sent:
        """As Desk.send_events."""
        return await self._run(self._flows.send_events(events, idempotency_key))

    async def _close_or_keep(self, operation: str, fields: Mapping[str, Any]) -> Closed | None:
        return await self._run(self._flows.close_or_keep(operation, fields))

    async def _run(self, flow: wire.Flow[T]) -> T:
        told: wire.Heard | wire.Lost | None = None
        try:
            while True:
                told = await self._do(flow.send(told))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            flow.close()

    async def _do(self, step: wire.Post | wire.Pause) -> wire.Heard | wire.Lost | None:
        if isinstance(step, wire.Pause):
            await asyncio.sleep(step.seconds)
            return None
        body = wire.Body(step.until)
        try:
            async with self._http.stream("POST", step.path, **wire.options(step)) as answer:
                async for part in answer.aiter_bytes():
                    body.add(part)
                return body.heard(answer)
        except httpx.HTTPError as exc:
            return wire.lost(exc)


class AsyncReservation(Held):
    """As Reservation."""

    def __init__(self, desk: AsyncDesk, answer: Decision, ttl_seconds: int, asked_at: float) -> None:
        super().__init__(answer, ttl_seconds, asked_at)
        self._desk = desk

    async def settle(self, **usage: Unpack[Usage]) -> Closed | None:
        """As Reservation.settle."""
        return await self._end("settle", usage)

    async def release(self) -> Closed | None:
        """As Reservation.release."""
        return await self._end("release", {})

    async def extend(self, ttl_seconds: int | None = None) -> Closed | None:
        """As Reservation.extend."""
        if self.id is None:
            return None
        asked_at, ttl = time.monotonic(), ttl_seconds or self._ttl
        told = await self._desk.extend(self.id, ttl)
        self._extended(asked_at, ttl)
        return told

    async def extending(self, parts: AsyncIterable[T]) -> AsyncIterator[T]:
        """As Reservation.extending, by `async for`."""
        async for part in parts:
            if self._is_due():
                await self._try_to_extend()
            yield part

    async def _try_to_extend(self) -> None:
        try:
            await self.extend()
        except DeskError as exc:
            self._put_off(exc)

    async def _end(self, operation: str, fields: Mapping[str, Any]) -> Closed | None:
        if self.id is None:
            return self._ended(None)
        told = await self._desk._close_or_keep(operation, {"reservation_id": self.id, **fields})
        return self._ended(told)

    async def _leave(self, operation: str) -> None:
        if self._over:
            return
        try:
            await self._end(operation, {})
        except DeskError as exc:
            log.warning("%s of %s at the end of its block: %s", operation, self.id, exc)
