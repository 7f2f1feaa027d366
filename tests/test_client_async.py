"""AsyncDesk keeps the promises of Desk: the flows are the same, what waits and what is cancelled is not."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from aiops_desk import AsyncDesk, Closed, Decision, Denied, DeskUnavailable

from tests.client import PATIENT
from tests.guard import CALL, CALL_USD
from tests.running_desk import free_port
from tests.test_guard_bad_days import ledger, make_budget, states_of


@pytest.fixture
def budget(desk, caller_key, call) -> int:
    return make_budget(desk, caller_key, 20 * CALL_USD, call["feature"])


def on_own_loop(doing):
    """Its result. In a thread of its own: a browser of other tests keeps a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, doing).result()


@pytest.fixture
def with_caller(desk, caller_key):
    """Runs a coroutine function with an AsyncDesk on a loop of its own."""

    def run(doing):
        async def whole():
            async with AsyncDesk(desk.url, caller_key, timeout=PATIENT) as caller:
                return await doing(caller)

        return on_own_loop(whole())

    return run


def test_a_call_is_reserved_settled_and_booked(desk, call, budget, with_caller):
    async def doing(caller):
        async with caller.guard(**call) as held:
            assert (held.model, held.max_output_tokens) == ("gpt-4o", 100)
            assert ledger(desk, budget) == (0, CALL_USD)
            return [await held.settle(input_tokens=1000, output_tokens=50) for _ in range(2)]

    first, again = with_caller(doing)
    assert (first.cost_usd, first.replayed, again.replayed) == (Decimal("0.003"), False, True)
    assert ledger(desk, budget) == (Decimal("0.003"), 0)


def test_an_exception_gives_everything_back(desk, call, budget, with_caller):
    async def doing(caller):
        async with caller.guard(**call):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        with_caller(doing)
    assert ledger(desk, budget) == (0, 0)


def test_a_cancelled_task_gives_everything_back(desk, call, budget, with_caller):
    async def doing(caller):
        entered = asyncio.Event()

        async def endless():
            async with caller.guard(**call):
                entered.set()
                await asyncio.sleep(3600)

        task = asyncio.create_task(endless())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with_caller(doing)
    assert states_of(desk, budget) == {"released": 1}


def test_a_settlement_that_is_cancelled_is_kept_and_told_later(desk, call, budget, with_caller):
    async def doing(caller):
        told = await caller.reserve(**call)
        closing = {"reservation_id": told.reservation_id, "cost_usd": "0.001"}
        task = asyncio.create_task(caller._close_or_keep("settle", closing))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return caller.unsent, await caller.flush()

    assert with_caller(doing) == (1, 0)
    assert ledger(desk, budget) == (Decimal("0.001"), 0)


def test_a_block_left_without_settling_is_booked_at_its_estimate(desk, call, budget, with_caller):
    async def doing(caller):
        async with caller.guard(**call) as held:
            pass
        return held.closed.cost_from

    assert with_caller(doing) == "estimate"
    assert ledger(desk, budget) == (CALL_USD, 0)


def test_a_stream_longer_than_its_reservation_keeps_it_open(desk, call, budget, with_caller):
    async def slow_parts():
        for number in range(12):
            await asyncio.sleep(0.25)
            yield number

    async def doing(caller):
        async with caller.guard(ttl_seconds=2, **call) as held:
            parts = [part async for part in held.extending(slow_parts())]
            assert ledger(desk, budget) == (0, CALL_USD)
            await held.settle(cost_usd="0.001")
            return parts

    assert with_caller(doing) == list(range(12))
    assert ledger(desk, budget) == (Decimal("0.001"), 0)


def test_200_tasks_share_a_client_and_a_budget_for_20_calls(desk, call, budget, with_caller):
    async def one(caller) -> str:
        try:
            async with caller.guard(**call) as held:
                await held.settle(cost_usd=CALL_USD)
                return "allowed"
        except Denied as denied:
            return denied.code

    async def doing(caller):
        return await asyncio.gather(*(one(caller) for _ in range(200)))

    told = with_caller(doing)
    assert (told.count("allowed"), told.count("budget_exhausted")) == (20, 180)
    assert ledger(desk, budget) == (20 * CALL_USD, 0)


def test_every_operation_is_there(call, budget, with_caller):
    async def doing(caller):
        checked, held = await caller.check(**call), await caller.reserve(**call)
        longer = await caller.extend(held.reservation_id, 600)
        released = await caller.release(held.reservation_id)
        again = await caller.reserve(**call)
        settled = await caller.settle(again.reservation_id, cost_usd=0)
        [both] = await caller.batch([{"op": "check", **call}])
        return [checked, held, both], [longer, released, settled]

    decisions, closed = with_caller(doing)
    assert {type(one) for one in decisions} == {Decision}
    assert [type(one) for one in closed] == [Closed] * 3
    assert [one.state for one in closed] == ["open", "released", "settled"]


def test_with_nobody_listening_the_policy_decides():
    nowhere = f"http://127.0.0.1:{free_port()}"

    async def doing() -> bool:
        async with AsyncDesk(nowhere, "aod_some_key", fail="open") as lenient:
            guarded = (await lenient.reserve(**CALL)).guarded
        async with AsyncDesk(nowhere, "aod_some_key", fail="closed") as strict:
            with pytest.raises(DeskUnavailable):
                await strict.reserve(**CALL)
        return guarded

    assert on_own_loop(doing()) is False


def test_events_are_sent(call, with_caller):
    async def doing(caller):
        return await caller.send_events([{"event_id": call["feature"], "feature": call["feature"], "model": "gpt-4o"}])

    assert with_caller(doing).accepted == 1
