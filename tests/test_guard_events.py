"""Usage events that name a reservation settle it; those that name none are metered; nothing is counted twice."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.actions import Author
from budgets.actions import revive_budget
from budgets.guard import closing, inbox, metering
from budgets.guard.requests import Settle
from budgets.models import Budget, BudgetPeriod, Hold
from budgets.queries.used import Ask, used
from tests.cast import make_key
from tests.guard import CALL_USD, ledger, make_budget, mid_month, reserve_at
from tests.traffic import CALL as EVENT
from tests.traffic import event, record
from usage.actions import record_events
from usage.rollups import drain

pytestmark = pytest.mark.django_db
# 800 fresh input tokens at 2.50, 200 cached at 1.25, 100 output tokens at 10 USD per million.
EVENT_USD = Decimal("0.00325")


@pytest.fixture
def key(cast):
    return make_key(cast.support)[0]


@pytest.fixture
def budget(cast):
    return make_budget(cast.support, "1", anchor=mid_month())


def settle_from_events() -> None:
    """What the workers do, roll-ups included."""
    now = timezone.now()
    drain()
    inbox.settle_events(now)
    metering.refresh(now)


def test_an_event_settles_the_reservation_it_names(cast, key, budget):
    held = reserve_at(key, timezone.now())
    record(cast.support, timezone.now(), reservation_id=held["reservation_id"])
    settle_from_events()
    hold = Hold.objects.get()
    assert (hold.state, hold.cost_usd, hold.event_calls) == ("settled", EVENT_USD, 1)
    assert ledger(budget) == (EVENT_USD, 0)


@pytest.mark.parametrize("number", [1, 50], ids=["by one statement", "by copy"])
def test_several_events_of_one_reservation_add_up(cast, key, budget, number):
    held = reserve_at(key, timezone.now())
    record(cast.support, timezone.now(), number, reservation_id=held["reservation_id"])
    record(cast.support, timezone.now(), reservation_id=held["reservation_id"])
    settle_from_events()
    assert ledger(budget) == ((number + 1) * EVENT_USD, 0)


@pytest.mark.parametrize("number", [1, 50], ids=["by one statement", "by copy"])
def test_an_event_sent_twice_counts_once(cast, key, budget, number):
    held = reserve_at(key, timezone.now())
    for _ in range(2):
        events = [
            event(timezone.now().replace(microsecond=0), event_id=f"same-{n}", reservation_id=held["reservation_id"])
            for n in range(number)
        ]
        events = [one | {"occurred_at": Hold.objects.get().created_at.isoformat()} for one in events]
        record_events(team=cast.support, environment="", api_key_id=None, events=events)
    settle_from_events()
    assert ledger(budget) == (number * EVENT_USD, 0)


@pytest.mark.parametrize("client_first", [True, False])
def test_what_events_say_is_booked_whatever_the_client_said_and_when(cast, key, budget, client_first):
    held = reserve_at(key, timezone.now())
    told = Settle(reservation_id=held["reservation_id"], cost_usd=Decimal("0.5"))
    if client_first:
        closing.settle(key, told)
        assert ledger(budget) == (Decimal("0.5"), 0)
    record(cast.support, timezone.now(), reservation_id=held["reservation_id"])
    settle_from_events()
    if not client_first:
        closing.settle(key, told)
    assert ledger(budget) == (EVENT_USD, 0)


def test_an_event_whose_cost_is_unknown_leaves_the_clients_figure(cast, key, budget):
    held = reserve_at(key, timezone.now())
    record(cast.support, timezone.now(), reservation_id=held["reservation_id"], model="house-model")
    settle_from_events()
    assert ledger(budget) == (CALL_USD, 0)  # so far the estimate
    closing.settle(key, Settle(reservation_id=held["reservation_id"], cost_usd=Decimal("0.25")))
    assert ledger(budget) == (Decimal("0.25"), 0)


def test_a_retrieval_that_names_the_reservation_does_not_settle_it(cast, key, budget):
    held = reserve_at(key, timezone.now())
    fields = dict.fromkeys(EVENT) | {"operation": "retrieval", "reservation_id": held["reservation_id"]}
    record(cast.support, timezone.now(), **fields)
    settle_from_events()
    assert ledger(budget) == (0, CALL_USD)


def test_an_event_after_the_hold_expired_is_booked_in_full(cast, key, budget):
    held = reserve_at(key, timezone.now() - timedelta(minutes=30), ttl_seconds=60)
    closing.sweep()
    record(cast.support, timezone.now() - timedelta(minutes=29), reservation_id=held["reservation_id"])
    settle_from_events()
    assert ledger(budget) == (EVENT_USD, 0)


def test_guarded_and_other_calls_are_each_counted_once(cast, key, budget):
    held = reserve_at(key, timezone.now())
    record(cast.support, timezone.now() - timedelta(minutes=1), 3)
    record(cast.support, timezone.now(), reservation_id=held["reservation_id"])
    settle_from_events()
    row = BudgetPeriod.objects.get(budget=budget)
    assert (row.settled, row.metered, row.reserved) == (EVENT_USD, 3 * EVENT_USD, 0)


def test_a_budget_made_later_knows_what_was_used_before(cast, key):
    held = reserve_at(key, timezone.now())
    record(cast.support, timezone.now(), 2)
    record(cast.support, timezone.now(), reservation_id=held["reservation_id"])
    settle_from_events()
    budget = make_budget(cast.support, "1", anchor=mid_month())
    settle_from_events()
    row = BudgetPeriod.objects.get(budget=budget)
    assert (row.settled, row.metered) == (EVENT_USD, 2 * EVENT_USD)


@pytest.mark.parametrize("named", ["0190a1b2-0000-7000-8000-000000000000", "no reservation"])
def test_an_event_that_names_an_unknown_reservation_is_booked_by_its_own_facts(cast, key, budget, named):
    other = make_budget(cast.support, "1", anchor=mid_month(), name="elsewhere", feature="other")
    reserve_at(key, timezone.now())
    reserve_at(key, timezone.now(), feature="other")
    record(cast.support, timezone.now(), reservation_id=named)
    settle_from_events()
    settle_from_events()
    assert ledger(budget) == (EVENT_USD, 2 * CALL_USD)
    assert ledger(other) == (0, CALL_USD)


def test_an_event_cannot_settle_another_teams_reservation(cast, key, budget):
    held = reserve_at(key, timezone.now())
    record(cast.search, timezone.now(), reservation_id=held["reservation_id"])
    settle_from_events()
    assert ledger(budget) == (0, CALL_USD)


@pytest.mark.parametrize(("unit", "amount"), [("tokens", 2200), ("requests", 2)])
def test_tokens_and_requests_of_events_are_booked(cast, key, unit, amount):
    budget = make_budget(cast.support, "100000", anchor=mid_month(), unit=unit)
    held = reserve_at(key, timezone.now())
    record(cast.support, timezone.now(), 2, reservation_id=held["reservation_id"])
    settle_from_events()
    assert ledger(budget) == (amount, 0)


# --- Metering --------------------------------------------------------------------------------------------------------
def test_late_events_of_last_month_are_booked_there(cast):
    now = timezone.now()
    budget = make_budget(cast.support, "1", period="day")
    yesterday = now - timedelta(days=1)
    metering.refresh(yesterday)
    metering.refresh(now)
    record(cast.support, yesterday, 2)
    record(cast.support, now)
    drain()
    metering.refresh(timezone.now())
    first, second = BudgetPeriod.objects.filter(budget=budget).order_by("starts_at")[:2]
    assert (first.used, second.used) == (2 * EVENT_USD, EVENT_USD)


def test_late_events_take_from_what_was_rolled_over(cast):
    now = timezone.now()
    budget = make_budget(cast.support, "1", period="day", rollover_share=Decimal("0.5"))
    yesterday = now - timedelta(days=1)
    metering.refresh(yesterday)
    metering.refresh(now)
    row = BudgetPeriod.objects.filter(budget=budget, ends_at__gt=now).earliest("starts_at")
    assert row.carried == Decimal("0.5")
    record(cast.support, yesterday, 4)
    drain()
    metering.refresh(timezone.now())
    row.refresh_from_db()
    assert row.carried == (1 - 4 * EVENT_USD) / 2


def test_the_meter_asks_as_often_for_many_budgets_as_for_a_few(cast, django_assert_max_num_queries):
    now = timezone.now()
    for number in range(3):
        make_budget(cast.support, "1", name=f"feature {number}", feature=f"f{number}")
    metering.refresh(now)
    for number in range(3, 60):
        make_budget(cast.search, "1", name=f"feature {number}", feature=f"f{number}")
    metering.refresh(now)
    with django_assert_max_num_queries(20):
        assert metering.refresh(now) == 60


def test_users_of_several_teams_are_measured_in_one_reading(cast, django_assert_num_queries):
    now = timezone.now()
    asked = {}
    for number, (team, user) in enumerate([(cast.support, "u1"), (cast.support, "u2"), (cast.search, "u1")], 1):
        record(team, now - timedelta(minutes=2), number, user_hash=user, tenant="acme")
        record(team, now - timedelta(minutes=2), user_hash=user, tenant="acme", reservation_id="r", model="house-model")
        for unit, calls in (("usd", number * EVENT_USD), ("requests", number + 1), ("tokens", 1100 * (number + 1))):
            scope = Budget(team=team, user_hash=user, tenant="acme", unit=unit)
            asked[Ask(scope, unit, now - timedelta(hours=1), now)] = calls
    nobody = Ask(Budget(team=cast.support, user_hash="u9", tenant="acme"), "usd", now - timedelta(hours=1), now)
    with django_assert_num_queries(1):
        found = used([*asked, nobody], now)
    assert {ask: found[ask].amount for ask in asked} == asked
    assert [found[ask].guarded for ask in asked][:3] == [0, 1, 1100]
    assert [found[ask].unknown_calls for ask in asked][:3] == [1, 0, 0]
    assert (found[nobody].amount, found[nobody].unknown_calls) == (0, 0)


def test_what_guarded_calls_used_while_a_budget_was_ended_counts_when_it_is_taken_up_again(cast, key, budget):
    settle_from_events()
    Budget.objects.update(is_active=False)
    held = reserve_at(key, timezone.now())
    assert held["headroom"] == []
    record(cast.support, timezone.now(), reservation_id=held["reservation_id"])
    settle_from_events()
    revive_budget(author=Author(label="test"), budget=budget, base_version=1, reason="Back")
    settle_from_events()
    assert ledger(budget) == (EVENT_USD, 0)
