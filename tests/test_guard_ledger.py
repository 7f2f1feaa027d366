"""A budget's ledger is what the reservations in its slice say, whenever it is made or made to count something else."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from itertools import cycle
from threading import Event, Semaphore

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.actions import Author
from budgets.actions import revive_budget
from budgets.guard import closing, inbox, retention
from budgets.guard.periods import open_periods
from budgets.guard.requests import Refused, Release, Settle
from budgets.models import Budget, BudgetPeriod, Hold, StrayEvent
from budgets.rules.periods import period_of
from tests.cast import make_key, make_team
from tests.guard import CALL_USD, ledger, make_budget, mid_month, reserve_at
from tests.test_guard_events import EVENT_USD, settle_from_events
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db
COST = Decimal("0.0021")


@pytest.fixture
def key(cast):
    return make_key(cast.support)[0]


@pytest.fixture
def budget(cast):
    return make_budget(cast.support, "1", anchor=mid_month())


def held(key, **body) -> str:
    """A reservation of a call of the feature answers; its id."""
    return reserve_at(key, timezone.now(), **{"feature": "answers"} | body)["reservation_id"]


def settled(key, hold: str, cost: Decimal = COST) -> None:
    closing.settle(key, Settle(reservation_id=hold, cost_usd=cost))


def edit(budget: Budget, **facts) -> None:
    """Change what it counts, as any program may, and open its period as the worker does."""
    Budget.objects.filter(pk=budget.pk).update(**facts)
    begin(budget)


def begin(budget: Budget) -> None:
    budget.refresh_from_db()
    open_periods([budget], timezone.now(), timezone.now())


# --- An edit begins a new ledger ------------------------------------------------------------------------------------
def test_open_calls_are_held_in_the_new_ledger_and_settle_into_it(key, budget):
    first, second = held(key), held(key)
    edit(budget, feature="answers")
    assert ledger(budget) == (0, 2 * CALL_USD)
    settled(key, first)
    closing.release(key, Release(reservation_id=second))
    assert ledger(budget) == (COST, 0)


def test_calls_outside_of_the_new_slice_are_not_in_it(key, budget):
    settled(key, held(key, feature="search"))
    still_open = held(key, feature="search")
    edit(budget, feature="answers")
    assert ledger(budget) == (0, 0)
    settled(key, still_open)
    assert ledger(budget) == (0, 0)


def test_what_only_callers_settled_stays_counted(key, budget):
    settled(key, held(key))
    edit(budget, feature="answers")
    assert ledger(budget) == (COST, 0)


def test_what_an_event_says_after_the_edit_is_booked_in_the_new_ledger(cast, key, budget):
    hold = held(key)
    settled(key, hold)
    edit(budget, feature="answers")
    record(cast.support, timezone.now(), reservation_id=hold)
    settle_from_events()
    assert ledger(budget) == (EVENT_USD, 0)


@pytest.mark.parametrize("ended", ["released", "expired"])
def test_what_ran_after_all_is_booked_in_the_new_ledger(key, budget, ended):
    hold = held(key)
    if ended == "released":
        closing.release(key, Release(reservation_id=hold))
    else:
        Hold.objects.update(expires_at=timezone.now())
        closing.sweep()
    edit(budget, feature="answers")
    settled(key, hold)
    assert ledger(budget) == (COST, 0)


def test_an_event_that_is_in_the_roll_ups_already_is_booked_once(cast, key, budget):
    """The worker has added the event up, and the edit comes before it settles the reservation."""
    record(cast.support, timezone.now(), reservation_id=held(key))
    drain()
    edit(budget, feature="answers")
    settle_from_events()
    assert ledger(budget) == (EVENT_USD, 0)


@pytest.mark.parametrize(("unit", "used", "reserved"), [("tokens", 700, 1100), ("requests", 1, 1)])
def test_another_unit_counts_the_same_calls(key, budget, unit, used, reserved):
    closing.settle(key, Settle(reservation_id=held(key), input_tokens=600, output_tokens=100))
    held(key)
    edit(budget, unit=unit, limit=10_000)
    assert ledger(budget) == (used, reserved)


def test_back_to_what_it_counted_is_back_to_what_it_said(key, budget):
    settled(key, held(key))
    held(key)
    before = ledger(budget)
    edit(budget, feature="search")
    assert ledger(budget) == (0, 0)
    edit(budget, feature="")
    assert ledger(budget) == before


def test_another_period_counts_the_calls_made_in_it(key, budget):
    now = timezone.now().replace(minute=30)
    reserve_at(key, now - timedelta(hours=1))
    reserve_at(key, now)
    Budget.objects.update(period="hour", anchor=1)
    budget.refresh_from_db()
    open_periods([budget], now, now)
    assert ledger(budget) == (0, CALL_USD)


def test_a_new_budget_knows_the_open_and_settled_calls_of_its_slice(cast, key):
    settled(key, held(key))
    hold = held(key)
    of_team, of_all = make_budget(cast.support, "1"), make_budget(None, "1", name="all")
    elsewhere = make_budget(cast.search, "1")
    for budget in (of_team, of_all, elsewhere):
        begin(budget)
    assert [ledger(one) for one in (of_team, of_all, elsewhere)] == [(COST, CALL_USD), (COST, CALL_USD), (0, 0)]
    settled(key, hold)
    assert [ledger(one) for one in (of_team, of_all, elsewhere)] == [(2 * COST, 0), (2 * COST, 0), (0, 0)]


def test_a_new_budget_denies_what_open_calls_leave_no_room_for(cast, key):
    held(key)
    make_budget(cast.support, CALL_USD)
    assert reserve_at(key, timezone.now())["decision"] == "deny"


def test_a_call_that_expired_makes_room_in_the_new_ledger_without_any_worker(key, budget):
    held(key)
    edit(budget, feature="answers", limit=CALL_USD)
    assert reserve_at(key, timezone.now(), feature="answers")["decision"] == "deny"
    Hold.objects.update(expires_at=timezone.now())
    assert reserve_at(key, timezone.now(), feature="answers")["decision"] == "allow"


def test_events_of_unknown_reservations_are_in_the_new_ledger(cast, key, budget):
    begin(budget)
    record(cast.support, timezone.now(), 2, reservation_id="mistyped")
    record(cast.support, timezone.now(), feature="search", reservation_id="mistyped")
    inbox.settle_events(timezone.now())
    assert ledger(budget) == (3 * EVENT_USD, 0)
    edit(budget, feature="answers")
    assert ledger(budget) == (2 * EVENT_USD, 0)


def test_a_budget_taken_up_again_counts_what_was_held_and_settled_meanwhile(key, budget):
    settled(key, held(key))
    Budget.objects.update(is_active=False)
    settled(key, held(key))
    hold = held(key)
    revive_budget(author=Author(label="test"), budget=budget, base_version=1, reason="Back")
    assert ledger(budget) == (2 * COST, CALL_USD)
    settled(key, hold)
    assert ledger(budget) == (3 * COST, 0)


def test_a_call_booked_in_the_period_before_is_not_counted_again_in_the_next(cast, key):
    """The caller's web server was a moment behind the database's clock."""
    budget = make_budget(cast.support, "1", period="hour")
    start = period_of(budget, timezone.now())[0]
    settled(key, reserve_at(key, start - timedelta(seconds=1))["reservation_id"])
    Hold.objects.update(created_at=start + timedelta(seconds=1))
    begin(budget)
    assert ledger(budget) == (0, 0)


def test_a_period_longer_than_reservations_are_kept_counts_their_events(cast, key, settings):
    now = timezone.now()
    made = [now - timedelta(days=5), now]
    for at in made:
        record(cast.support, at, reservation_id=reserve_at(key, at)["reservation_id"])
    settle_from_events()
    settings.RAW_RETENTION_DAYS = 2
    retention.expire(now)
    assert Hold.objects.count() == 1
    budget = make_budget(cast.support, "1", period="quarter", anchor=(now - timedelta(days=5)).month % 3 or 3)
    begin(budget)
    assert ledger(budget) == (2 * EVENT_USD, 0)


def test_old_reservations_are_removed_also_of_teams_that_are_gone(cast, key, settings):
    other = make_key(cast.search)[0]
    old = timezone.now() - timedelta(days=settings.RAW_RETENTION_DAYS, minutes=1)
    for caller in (key, other):
        for at in (old, old + timedelta(minutes=2)):
            settled(caller, reserve_at(caller, at)["reservation_id"])
        reserve_at(caller, old)
    Hold.objects.filter(team=cast.search).update(team=cast.search.pk + 1000)
    retention.expire(timezone.now())
    assert sorted(Hold.objects.values_list("state", flat=True)) == ["open", "open", "settled", "settled"]
    assert Hold.objects.filter(state="settled", created_at__lt=old).count() == 0


def test_removing_old_reservations_reads_no_whole_table(key):
    for _ in range(3):
        held(key)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN (FORMAT JSON) " + retention._HOLDS, {"before": timezone.now(), "most": 10})
        plan = str(cursor.fetchone()[0])
    assert "hold_by_team" in plan and "Seq Scan" not in plan


# --- Whatever happens, in any order ---------------------------------------------------------------------------------
def amount(hold: Hold, unit: str) -> tuple[Decimal, Decimal]:
    """(used, reserved) of one reservation, by the words of the guide."""
    tokens, known = hold.input_tokens + hold.output_tokens, hold.event_count > 0
    if hold.state == "open":
        return Decimal(0), Decimal({"usd": hold.estimate_usd, "tokens": tokens, "requests": 1}[unit])
    if hold.state != "settled":
        return Decimal(0), Decimal(0)
    usd = hold.event_usd if known else hold.client_usd
    tokens, calls = hold.event_tokens if known else tokens, max(1, hold.event_calls)
    return Decimal({"usd": usd, "tokens": tokens, "requests": calls}[unit]), Decimal(0)


def expected(budget: Budget) -> tuple[Decimal, Decimal]:
    holds = [amount(hold, budget.unit) for hold in Hold.objects.all() if budget.feature in ("", hold.feature)]
    strays = [getattr(one, budget.unit) for one in StrayEvent.objects.all() if budget.feature in ("", one.feature)]
    return sum(used for used, _ in holds) + sum(strays), sum((reserved for _, reserved in holds), Decimal(0))


FEATURES = ("answers", "search")
place = st.integers(0, 30)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.sampled_from(FEATURES)),
        st.tuples(st.just("settle"), place, st.integers(1, 10_000)),
        st.tuples(st.just("release"), place),
        st.tuples(st.just("expire"), place),
        st.tuples(st.just("event"), place),
        st.tuples(st.just("stray"), st.sampled_from(FEATURES)),
        st.tuples(st.just("edit"), st.sampled_from(("", *FEATURES)), st.sampled_from(("usd", "tokens", "requests"))),
        st.tuples(st.just("end")),
        st.tuples(st.just("revive")),
        st.tuples(st.just("add")),
    ),
    max_size=25,
)


class Story:
    """A team with a budget, and what may happen to it."""

    def __init__(self) -> None:
        BudgetPeriod.objects.all().delete()
        for model in (Budget, Hold, StrayEvent):
            model.objects.all().delete()
        self.team = make_team(f"team-{time.monotonic_ns()}")
        self.key = make_key(self.team)[0]
        self.holds: list[str] = []
        self.budget = make_budget(self.team, "100000")

    def run(self, name: str, *values) -> None:
        getattr(self, name)(*values)

    def _hold(self, number: int) -> str | None:
        return self.holds[number % len(self.holds)] if self.holds else None

    def reserve(self, feature: str) -> None:
        self.holds.append(held(self.key, feature=feature))

    def settle(self, number: int, cost: int) -> None:
        if hold := self._hold(number):
            try:
                settled(self.key, hold, Decimal(cost) / 100_000)
            except Refused as exc:
                assert exc.code == "settled_differently"

    def release(self, number: int) -> None:
        if hold := self._hold(number):
            try:
                closing.release(self.key, Release(reservation_id=hold))
            except Refused as exc:
                assert exc.code == "already_settled"

    def expire(self, number: int) -> None:
        Hold.objects.filter(pk=self._hold(number), state="open").update(expires_at=timezone.now())
        closing.sweep()

    def event(self, number: int) -> None:
        if hold := self._hold(number):
            facts = Hold.objects.get(pk=hold)
            record(self.team, facts.created_at, feature=facts.feature, reservation_id=hold)
            inbox.settle_events(timezone.now())

    def stray(self, feature: str) -> None:
        record(self.team, timezone.now(), feature=feature, reservation_id="mistyped")
        inbox.settle_events(timezone.now())

    def edit(self, feature: str, unit: str) -> None:
        Budget.objects.filter(pk=self.budget.pk).update(feature=feature, unit=unit)

    def end(self) -> None:
        Budget.objects.filter(pk=self.budget.pk).update(is_active=False)

    def revive(self) -> None:
        self.budget.refresh_from_db()
        if not self.budget.is_active:
            version = self.budget.version
            revive_budget(author=Author(label="test"), budget=self.budget, base_version=version, reason="Back")

    def add(self) -> None:
        make_budget(self.team, "100000", name=f"budget {time.monotonic_ns()}", feature="answers")


@given(steps)
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_every_budget_says_at_any_time_what_its_reservations_say(steps):
    story = Story()
    for step in steps:
        story.run(*step)
        for budget in Budget.objects.filter(is_active=True):
            begin(budget)
            assert ledger(budget) == expected(budget), step


# --- At the same time -----------------------------------------------------------------------------------------------
ROOM = 400
CALLERS = 3
CALLS_PER_EDIT = 8


def call_until_denied(key, made: Semaphore) -> int:
    """Reserve, and settle every second call at its estimate, until the budget denies; returns how many were allowed."""
    allowed = 0
    with closing_connection():
        while True:
            try:
                told = reserve_at(key, None, feature="answers")
            except OperationalError:  # what it remembers keeps changing: again, as a caller would
                continue
            if told["decision"] == "deny":
                return allowed
            allowed += 1
            if allowed % 2:
                settled(key, told["reservation_id"], CALL_USD)
            made.release()


def edit_all_the_while(budget: Budget, made: Semaphore, over: Event) -> int:
    """Between slices that all hold every call there is, after every few calls; returns how often."""
    edits, calls = 0, 0
    slices = cycle(({"feature": "answers"}, {"model": "gpt-4o"}, {"feature": ""}, {"model": ""}))
    with closing_connection():
        while not over.is_set():
            calls += made.acquire(timeout=0.05)
            if calls == CALLS_PER_EDIT:
                Budget.objects.filter(pk=budget.pk).update(**next(slices))
                edits, calls = edits + 1, 0
    return edits


@contextmanager
def closing_connection():
    """Each thread has a connection of its own."""
    try:
        yield
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_budget_edited_while_calls_are_made_allows_exactly_what_it_has_room_for(cast, key):
    budget = make_budget(cast.support, ROOM * CALL_USD)
    made, over = Semaphore(0), Event()
    with ThreadPoolExecutor(CALLERS + 1) as pool:
        editing = pool.submit(edit_all_the_while, budget, made, over)
        callers = [pool.submit(call_until_denied, key, made) for _ in range(CALLERS)]
        try:
            allowed = sum(caller.result(timeout=120) for caller in callers)
        finally:
            over.set()
        edits = editing.result()
    begin(budget)
    states = [hold.state for hold in Hold.objects.all()]
    assert edits > 3
    assert (allowed, len(states)) == (ROOM, ROOM)
    assert ledger(budget) == (states.count("settled") * CALL_USD, states.count("open") * CALL_USD)


WAITS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def reserve_and_commit_when_awaited(key, reserved: Event) -> None:
    """A reservation whose transaction is still open when a budget over it is made."""
    with closing_connection(), transaction.atomic(), connection.cursor() as cursor:
        held(key)
        reserved.set()
        for _ in range(1000):
            cursor.execute(WAITS)
            if cursor.fetchone()[0]:
                return
            time.sleep(0.005)
        raise AssertionError("nobody waited for this reservation")


@pytest.mark.django_db(transaction=True)
def test_a_new_budget_waits_for_reservations_that_do_not_know_it(cast, key):
    reserved = Event()
    with ThreadPoolExecutor(1) as pool:
        caller = pool.submit(reserve_and_commit_when_awaited, key, reserved)
        assert reserved.wait(60)
        budget = make_budget(cast.support, "1")
        begin(budget)
        caller.result(timeout=60)
    assert ledger(budget) == (0, CALL_USD)
