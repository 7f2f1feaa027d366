"""A corrected price reaches what reservations were settled with, once, where events named them."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.actions import Author
from budgets.guard import closing, inbox
from budgets.guard.requests import Settle
from budgets.models import Budget, Hold, StrayEvent
from tests.cast import make_key
from tests.guard import ledger, make_budget, reserve_at
from tests.test_guard_ledger import begin, closing_connection
from tests.test_repricing import ask, call, finish, price, send
from usage import partitions
from usage.pricing.actions import Rates, edit_price

pytestmark = pytest.mark.django_db
ACME = {"provider": "acme", "model": "acme-1", "max_output_tokens": 500, "feature": "chat"}
BEFORE, AFTER = Decimal("0.007"), Decimal("0.009")  # at 2 and at 4 USD per million input tokens


@pytest.fixture
def key(cast):
    partitions.ensure(timezone.now())
    return make_key(cast.support)[0]


@pytest.fixture
def budget(cast, key):
    found = make_budget(cast.support, "1", enforcement="soft")
    begin(found)
    return found


def held(key) -> str:
    return reserve_at(key, timezone.now(), **ACME)["reservation_id"]


def make_dearer(row) -> None:
    """Correct the price from the start on, and re-price."""
    rates = Rates(input_mtok=Decimal(4), output_mtok=Decimal(10))
    edit_price(author=Author(label="test"), price=row, rates=rates, effective_from=row.valid_from)
    finish(ask())


def settle_and_correct() -> None:
    """What the worker does."""
    inbox.settle_events(timezone.now())
    inbox.correct(timezone.now())


@pytest.mark.parametrize("settled_before", [True, False])
def test_a_corrected_price_is_booked_once(cast, key, budget, settled_before):
    acme = price()
    send(cast.support, [call(1, timezone.now(), reservation_id=held(key))])
    if settled_before:
        settle_and_correct()
        assert ledger(budget) == (BEFORE, 0)
    make_dearer(acme)
    settle_and_correct()
    settle_and_correct()
    assert ledger(budget) == (AFTER, 0)
    assert Hold.objects.get().cost_usd == AFTER


def test_a_call_that_had_no_price_is_booked_when_it_has_one(cast, key, budget):
    hold = held(key)
    send(cast.support, [call(1, timezone.now(), reservation_id=hold)])
    settle_and_correct()
    closing.settle(key, Settle(reservation_id=hold, cost_usd=Decimal("0.5")))
    assert ledger(budget) == (Decimal("0.5"), 0)
    price()
    finish(ask())
    settle_and_correct()
    assert ledger(budget) == (BEFORE, 0)


def test_a_corrected_price_follows_a_budget_that_counts_something_else_by_now(cast, key, budget):
    acme = price()
    send(cast.support, [call(1, timezone.now(), reservation_id=held(key))])
    settle_and_correct()
    make_dearer(acme)
    Budget.objects.update(feature="chat")
    begin(budget)
    assert ledger(budget) == (BEFORE, 0)
    settle_and_correct()
    assert ledger(budget) == (AFTER, 0)


def test_a_corrected_price_of_an_event_without_its_reservation_is_booked(cast, key, budget):
    acme = price()
    send(cast.support, [call(1, timezone.now(), reservation_id="mistyped")])
    settle_and_correct()
    assert ledger(budget) == (BEFORE, 0)
    make_dearer(acme)
    settle_and_correct()
    assert ledger(budget) == (AFTER, 0)
    assert StrayEvent.objects.get().usd == AFTER


@pytest.mark.parametrize("unit", ["tokens", "requests"])
def test_a_price_changes_no_tokens_and_no_requests(cast, key, unit):
    budget = make_budget(cast.support, "10000", unit=unit)
    acme = price()
    send(cast.support, [call(1, timezone.now(), reservation_id=held(key)), call(2, timezone.now(), reservation_id="?")])
    settle_and_correct()
    before = ledger(budget)
    make_dearer(acme)
    settle_and_correct()
    assert ledger(budget) == before


@pytest.mark.django_db(transaction=True)
def test_an_event_that_is_being_booked_while_it_is_re_priced_is_booked_once(cast, key, budget):
    """Re-pricing waits for the worker that has read the old cost, and then corrects it."""
    acme = price()
    send(cast.support, [call(1, timezone.now(), reservation_id=held(key))])
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            inbox.settle_events(timezone.now())
            repricing = pool.submit(_dearer_elsewhere, acme)
            _until_somebody_waits()
        repricing.result(timeout=60)
    settle_and_correct()
    assert ledger(budget) == (AFTER, 0)


def _dearer_elsewhere(row) -> None:
    with closing_connection():
        make_dearer(row)


def _until_somebody_waits() -> None:
    with connection.cursor() as cursor:
        for _ in range(3000):
            cursor.execute("SELECT pg_sleep(0.01), count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[1]:
                return
    raise AssertionError("nobody waited")
