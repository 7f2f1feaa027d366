"""The Python client against a real desk: what it asks, what it books, what it raises."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from aiops_desk import Closed, Decision, Denied, Desk, RequestRefused

from tests.client import PATIENT, conserve
from tests.guard import CALL_USD
from tests.test_guard_bad_days import ledger, make_budget, states_of


@pytest.fixture
def budget(desk, caller_key, call) -> int:
    """1 USD a month, hard."""
    return make_budget(desk, caller_key, Decimal(1), call["feature"])


def test_a_call_is_reserved_while_its_block_runs_and_booked_when_it_is_settled(desk, caller, call, budget):
    with caller.guard(**call) as held:
        assert (held.decision, held.model, held.max_output_tokens) == ("allow", "gpt-4o", 100)
        assert held.guarded and held.reason.code == "within_limits"
        assert ledger(desk, budget) == (0, CALL_USD)
        told = held.settle(input_tokens=1000, output_tokens=50)
    assert (told.state, told.cost_usd, told.cost_from) == ("settled", Decimal("0.003"), "settle")
    assert ledger(desk, budget) == (Decimal("0.003"), 0)


def test_amounts_are_exact_and_times_aware(caller, call, budget):
    [room] = caller.check(**call).headroom
    assert (room.limit, room.unit, room.enforcement) == (Decimal(1), "USD", "hard")
    assert room.resets_at.utcoffset() is not None
    told = caller.reserve(**call)
    assert told.estimate.cost_usd == CALL_USD
    assert told.expires_at.utcoffset() is not None


def test_an_exception_in_the_block_gives_everything_back(desk, caller, call, budget):
    with pytest.raises(ZeroDivisionError), caller.guard(**call):
        raise ZeroDivisionError
    assert ledger(desk, budget) == (0, 0)
    assert states_of(desk, budget) == {"released": 1}


def test_an_exception_after_the_settlement_changes_nothing(desk, caller, call, budget):
    with pytest.raises(ZeroDivisionError), caller.guard(**call) as held:
        held.settle(cost_usd="0.001")
        raise ZeroDivisionError
    assert ledger(desk, budget) == (Decimal("0.001"), 0)


def test_a_block_left_without_settling_is_booked_at_its_estimate(desk, caller, call, budget):
    with caller.guard(**call) as held:
        pass
    assert held.closed.cost_from == "estimate"
    assert ledger(desk, budget) == (CALL_USD, 0)


def test_a_detached_reservation_stays_open_for_whoever_has_its_id(desk, caller, call, budget):
    with caller.guard(**call) as held:
        name = held.detach()
    assert ledger(desk, budget) == (0, CALL_USD)
    assert caller.settle(name, cost_usd=Decimal("0.002")).state == "settled"
    assert ledger(desk, budget) == (Decimal("0.002"), 0)


def test_a_call_that_was_not_made_is_released_in_the_block(desk, caller, call, budget):
    with caller.guard(**call) as held:
        assert held.release().state == "released"
    assert ledger(desk, budget) == (0, 0)


def test_settling_again_with_the_same_figures_changes_nothing(desk, caller, call, budget):
    with caller.guard(**call) as held:
        assert [held.settle(cost_usd="0.001").replayed for _ in range(3)] == [False, True, True]
    assert ledger(desk, budget) == (Decimal("0.001"), 0)


def test_settling_again_with_other_figures_is_refused(desk, caller, call, budget):
    with caller.guard(**call) as held:
        held.settle(cost_usd="0.001")
        with pytest.raises(RequestRefused) as refused:
            held.settle(cost_usd="0.002")
    assert (refused.value.status, refused.value.code) == (409, "settled_differently")
    assert ledger(desk, budget) == (Decimal("0.001"), 0)


def test_a_denied_call_raises_with_the_reason_and_when_to_ask_again(desk, caller_key, caller, call):
    make_budget(desk, caller_key, CALL_USD / 2, call["feature"])
    ran = False
    with pytest.raises(Denied) as denied, caller.guard(**call):
        ran = True
    assert not ran
    assert denied.value.code == "budget_exhausted"
    assert 0 < denied.value.retry_after <= 31 * 86_400
    assert "begins anew" in denied.value.message
    assert caller.reserve(**call).decision == caller.check(**call).decision == "deny"


def test_a_degraded_call_is_told_the_model_and_limit_to_use(desk, caller_key, caller, call, budget):
    conserve(desk, caller_key, call["feature"], max_output_tokens=40)
    with caller.guard(**call) as held:
        assert (held.decision, held.mode, held.model, held.max_output_tokens) == (
            "degrade",
            "conserve",
            "gpt-4o-mini",
            40,
        )
        told = held.settle(input_tokens=1000, output_tokens=40)
    assert told.cost_usd == Decimal("0.000174")  # 0.15 and 0.60 USD per million tokens


def test_bad_input_names_the_field_and_the_fix(caller, call):
    with pytest.raises(RequestRefused) as refused:
        caller.reserve(model="gpt-4o", provider="openai", input_tokens=-1)
    assert (refused.value.status, refused.value.field) == (400, "input_tokens")
    with pytest.raises(RequestRefused, match="colour"):
        caller.reserve(colour="red", **call)


def test_an_unknown_key_is_refused_whatever_the_fail_policy(desk, call):
    stranger = Desk(desk.url, "aod_nobody_nothing", fail="open", timeout=PATIENT)
    with stranger, pytest.raises(RequestRefused) as refused:
        stranger.check(**call)
    assert refused.value.status == 401


def test_an_address_that_is_no_desk_is_named_as_that(desk, caller_key, call):
    with (
        Desk(f"{desk.url}/elsewhere", caller_key, timeout=PATIENT) as lost,
        pytest.raises(RequestRefused, match="base_url"),
    ):
        lost.check(**call)


def test_of_the_same_idempotency_key_there_is_one_reservation(desk, caller, call, budget):
    first, second = (caller.reserve(idempotency_key="once", **call) for _ in range(2))
    assert first.reservation_id == second.reservation_id
    assert second.replayed
    assert ledger(desk, budget) == (0, CALL_USD)


def test_extending_lets_a_reservation_last_longer(caller, call, budget):
    held = caller.reserve(ttl_seconds=5, **call)
    assert caller.extend(held.reservation_id, 600).expires_at > held.expires_at


def test_a_stream_longer_than_its_reservation_keeps_it_open(desk, caller, call, budget):
    def slow_parts():
        for number in range(12):
            time.sleep(0.25)
            yield number

    with caller.guard(ttl_seconds=2, **call) as held:
        assert list(held.extending(slow_parts())) == list(range(12))
        assert ledger(desk, budget) == (0, CALL_USD)
        held.settle(cost_usd="0.001")
    assert ledger(desk, budget) == (Decimal("0.001"), 0)


def test_a_reservation_that_expired_cannot_be_extended_and_is_booked_all_the_same(desk, caller, call, budget):
    with caller.guard(ttl_seconds=1, **call) as held:
        time.sleep(1.2)
        with pytest.raises(RequestRefused) as refused:
            held.extend()
        assert refused.value.code == "not_open"
        assert list(held.extending([1, 2])) == [1, 2]
        assert held.settle(cost_usd="0.001").state == "settled"
    assert ledger(desk, budget) == (Decimal("0.001"), 0)


def test_a_batch_answers_each_request_by_itself(desk, caller, call, budget):
    held = caller.reserve(**call)
    answers = caller.batch(
        [
            {"op": "reserve", **call},
            {"op": "settle", "reservation_id": held.reservation_id, "cost_usd": Decimal("0.001")},
            {"op": "release", "reservation_id": "00000000-0000-0000-0000-000000000000"},
            {"op": "dance"},
        ]
    )
    assert [type(one) for one in answers] == [Decision, Closed, RequestRefused, RequestRefused]
    assert [one.status for one in answers[2:]] == [404, 400]
    assert ledger(desk, budget) == (Decimal("0.001"), CALL_USD)


def test_200_threads_share_a_client_and_a_budget_for_20_calls(desk, caller_key, caller, call):
    budget = make_budget(desk, caller_key, 20 * CALL_USD, call["feature"])
    together = threading.Barrier(200)

    def one(_number: int) -> str:
        together.wait()
        try:
            with caller.guard(**call) as held:
                held.settle(cost_usd=CALL_USD)
                return "allowed"
        except Denied as denied:
            return denied.code

    with ThreadPoolExecutor(200) as pool:
        told = list(pool.map(one, range(200)))
    assert (told.count("allowed"), told.count("budget_exhausted")) == (20, 180)
    assert ledger(desk, budget) == (20 * CALL_USD, 0)
