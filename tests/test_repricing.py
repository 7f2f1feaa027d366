"""Re-pricing history: exact, resumable, cancellable, and blind to no call."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import sleep

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from usage import partitions
from usage.actions import record_events
from usage.measures import COST_PRICED, COST_UNPRICED
from usage.models import ChangeMarker, Repricing, RollupMark
from usage.pricing.actions import Rates, add_price, edit_price, end_price
from usage.pricing.book import current
from usage.pricing.repricing import history, raw
from usage.pricing.repricing.estimate import estimate
from usage.pricing.repricing.requests import cancel_repricing, request_repricing, resume_repricing
from usage.pricing.repricing.run import LEASE, SETTLE, due, raw_floor, run_repricing
from usage.rollups import drain

SYSTEM = Author(label="test")
DAY = timedelta(days=1)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _partitions(db):
    partitions.ensure(timezone.now())


def call(number: int, at: datetime, **fields) -> dict:
    """One call of the made-up model acme-1: 1,000 input and 500 output tokens."""
    defaults = {"provider": "acme", "model": "acme-1", "operation": "chat", "feature": "chat", "environment": "prod"}
    tokens = {"input_tokens": 1000, "output_tokens": 500, "latency_ms": 10}
    return defaults | tokens | {"event_id": f"e{number:06}", "occurred_at": at.isoformat()} | fields


def send(team, calls: list[dict], **arguments) -> None:
    outcome = record_events(team=team, environment="", api_key_id=None, events=calls, **arguments)
    assert outcome.accepted == len(calls), outcome


def price(team=None, usd="2", since=None, **fields):
    since = since or timezone.now() - 400 * DAY
    rates = Rates(input_mtok=Decimal(usd), output_mtok=Decimal(10))
    values = {"provider": "acme", "model": "acme-1", "valid_from": since} | fields
    return add_price(author=SYSTEM, team=team, rates=rates, **values)


def ask(team=None, since=None, **fields) -> Repricing:
    values = {"provider": "acme", "model": "acme-1", "start": since or timezone.now() - 34 * DAY} | fields
    return request_repricing(author=SYSTEM, team=team, **values)


def later():
    """A clock after the moment at which calls in flight have settled."""
    return timezone.now() + SETTLE + timedelta(seconds=1)


def finish(job: Repricing, **chunk) -> Repricing:
    assert run_repricing(job.pk, later) == Repricing.State.DONE
    job.refresh_from_db()
    return job


def costs(team) -> list[tuple[str, int, Decimal | None]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT event_id, cost_state, cost_usd FROM usage_event WHERE team_id = %s ORDER BY occurred_at, event_id",
            [team.pk],
        )
        return cursor.fetchall()


def sums(team, table: str = "usage_day") -> tuple:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(cost_usd), coalesce(sum(priced), 0), coalesce(sum(unpriced), 0)"
            f" FROM {table} WHERE team_id = %s",
            [team.pk],
        )
        return cursor.fetchone()


def test_calls_without_a_price_get_their_cost_and_every_sum_follows(cast):
    now = timezone.now()
    send(cast.support, [call(i, now - i * timedelta(hours=7), tenant="t1") for i in range(100)])
    drain()
    assert sums(cast.support) == (None, 0, 100)
    price()
    job = finish(ask())
    drain()
    assert {row[1:] for row in costs(cast.support)} == {(COST_PRICED, Decimal("0.007"))}
    for table in ("usage_hour", "usage_day", "usage_tenant_hour", "usage_tenant_day"):
        assert sums(cast.support, table) == (Decimal("0.7"), 100, 0), table
    assert (job.events_done, job.events_changed) == (100, 100)
    assert (job.cost_before, job.cost_after) == (0, Decimal("0.7"))


def test_a_corrected_price_changes_only_the_calls_whose_cost_changes(cast):
    now = timezone.now()
    old = price()
    send(cast.support, [call(i, now - i * DAY) for i in range(10)])
    edit_price(
        author=SYSTEM,
        price=old,
        rates=Rates(input_mtok=Decimal(4), output_mtok=Decimal(10)),
        effective_from=now - timedelta(days=4, hours=12),
    )
    job = finish(ask())
    assert [cost for _, _, cost in costs(cast.support)] == [Decimal("0.007")] * 5 + [Decimal("0.009")] * 5
    assert (job.events_changed, job.change_usd) == (5, Decimal("0.01"))


def test_re_pricing_with_an_unchanged_book_changes_nothing(cast):
    """What ingest makes of a call and what re-pricing makes of it are the same, for calls of every kind."""
    now = timezone.now()
    model = {"provider": "openai", "model": "gpt-4o"}
    kinds = [
        model,
        model | {"input_tokens": None, "output_tokens": None},
        model | {"output_tokens": None},
        model | {"status": "error", "error_type": "timeout", "input_tokens": None, "output_tokens": None},
        model | {"status": "error", "error_type": "rate_limit", "input_tokens": None, "output_tokens": None},
        model | {"cached_input_tokens": 400, "reasoning_tokens": 100},
        model | {"service_tier": "batch"},
        model | {"service_tier": "priority", "region": "eu"},
        model | {"model": "my-deployment", "response_model": "gpt-4o-2024-08-06"},
        model | {"model": "unheard-of"},
        model | {"operation": "invoke_agent"},
        model | {"operation": "retrieval", "model": None, "provider": None},
    ]
    send(cast.support, [call(i, now - i * timedelta(minutes=9), **kind) for i, kind in enumerate(kinds)])
    before = costs(cast.support)
    assert {state for _, state, _ in before} == {0, 1, 2, 3}
    for name in ("gpt-4o", "my-deployment", "unheard-of"):
        job = finish(ask(provider="openai", model=name))
        assert job.events_changed == 0
    assert costs(cast.support) == before


def test_a_negotiated_price_re_prices_its_own_team_only(cast):
    now = timezone.now()
    price()
    for team in (cast.support, cast.search):
        send(team, [call(1, now)])
    price(cast.support, usd="1")
    job = finish(ask(cast.support))
    assert [row[2] for row in costs(cast.support)] == [Decimal("0.006")]
    assert [row[2] for row in costs(cast.search)] == [Decimal("0.007")]
    assert job.change_usd == Decimal("-0.001")


def test_one_run_goes_through_all_teams(cast):
    now = timezone.now()
    for team in (cast.support, cast.search):
        send(team, [call(i, now - timedelta(hours=i)) for i in range(3)])
    price()
    assert finish(ask()).events_changed == 6


def test_an_ended_price_makes_the_cost_unknown_again_not_zero(cast):
    now = timezone.now()
    old = price()
    send(cast.support, [call(1, now - DAY), call(2, now - timedelta(minutes=5))])
    end_price(author=SYSTEM, price=old, at=now - timedelta(hours=1))
    finish(ask())
    assert [row[1:] for row in costs(cast.support)] == [(COST_PRICED, Decimal("0.007")), (COST_UNPRICED, None)]


def test_calls_of_a_router_are_re_priced_by_the_model_that_answered(cast):
    send(cast.support, [call(1, timezone.now(), model="smart-router", response_model="acme-1")])
    price()
    assert finish(ask()).events_changed == 1
    assert costs(cast.support)[0][1:] == (COST_PRICED, Decimal("0.007"))


def test_a_run_goes_on_after_a_crash_between_and_inside_chunks(cast, monkeypatch):
    now = timezone.now()
    send(cast.support, [call(i, now - i * timedelta(minutes=31)) for i in range(120)])
    price()
    monkeypatch.setattr(raw, "CHUNK_EVENTS", 25)
    job, write, crashes = ask(), raw._write, iter([False, True, False, False, True, False, False, False])

    def crashing(cursor, *arguments):
        write(cursor, *arguments)
        if len(arguments[3]) and next(crashes, False):
            raise KeyboardInterrupt

    monkeypatch.setattr(raw, "_write", crashing)
    clock, runs = [later()], 0
    while job.is_open:
        try:
            run_repricing(job.pk, lambda: clock[0])
        except KeyboardInterrupt:
            assert run_repricing(job.pk, lambda: clock[0]) is None  # the lease of the dead worker holds
            clock[0] += LEASE
        runs += 1
        job.refresh_from_db()
    drain()
    assert runs == 3
    assert job.state == Repricing.State.DONE
    assert (job.events_done, job.events_changed, job.cost_after) == (120, 120, Decimal("0.84"))
    assert sums(cast.support) == (Decimal("0.84"), 120, 0)


def test_many_calls_at_the_same_moment_are_chunked_by_their_id(cast, monkeypatch):
    at = timezone.now().replace(minute=0, second=0, microsecond=0)
    send(cast.support, [call(i, at) for i in range(30)])
    price()
    monkeypatch.setattr(raw, "CHUNK_EVENTS", 7)
    assert finish(ask()).events_changed == 30


@pytest.mark.django_db(transaction=True)
def test_a_call_priced_with_the_old_book_and_committed_behind_the_cursor_is_caught(cast):
    """An ingest request reads the book and is then held up at its insert, while the price changes."""
    at = timezone.now() - 3 * DAY
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE usage_event IN SHARE MODE")
            sending = pool.submit(send_in_thread, cast.support, [call(1, at)])
            wait_for_the_lock(cursor)
            # From here on the main thread commits through the second connection.
            job = pool_of_one(change_the_price_and_start)
        sending.result(timeout=20)
    assert [row[1] for row in costs(cast.support)] == [COST_UNPRICED]
    assert finish(Repricing.objects.get(pk=job)).events_changed == 1
    assert costs(cast.support)[0][1:] == (COST_PRICED, Decimal("0.007"))


def send_in_thread(team, calls: list[dict]) -> None:
    try:
        send(team, calls)
    finally:
        connection.close()


def wait_for_the_lock(cursor) -> None:
    for _ in range(200):
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'usage_event'::regclass")
        if cursor.fetchone()[0]:
            return
        sleep(0.05)
    raise AssertionError("ingest never came to its insert")


def change_the_price_and_start() -> int:
    try:
        price()
        job = ask()
        assert run_repricing(job.pk) == Repricing.State.RUNNING  # it waits for calls in flight
        return job.pk
    finally:
        connection.close()


def pool_of_one(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(timeout=30)


def test_without_a_recent_price_change_a_run_does_not_wait(cast):
    price()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE usage_pricebook SET changed_at = now() - interval '1 hour'")
    assert run_repricing(ask().pk) == Repricing.State.DONE


def test_a_cancelled_run_writes_nothing_more_and_can_be_taken_up_again(cast, monkeypatch):
    send(cast.support, [call(i, timezone.now() - i * timedelta(hours=1)) for i in range(20)])
    price()
    monkeypatch.setattr(raw, "CHUNK_EVENTS", 5)
    job, moments = ask(), iter(range(100))

    def clock():
        """The person who cancels comes during the fourth chunk."""
        if next(moments) == 3:
            assert cancel_repricing(job=job, author=SYSTEM)
        return later()

    run_repricing(job.pk, clock)
    job.refresh_from_db()
    assert job.state == Repricing.State.CANCELLED
    assert run_repricing(job.pk, later) is None
    assert not cancel_repricing(job=job, author=SYSTEM)
    assert {row[1] for row in costs(cast.support)} == {COST_PRICED, COST_UNPRICED}
    assert resume_repricing(job=job, author=SYSTEM)
    job.refresh_from_db()
    assert run_repricing(job.pk, lambda: later() + LEASE) == Repricing.State.DONE
    assert {row[1] for row in costs(cast.support)} == {COST_PRICED}


def test_two_workers_never_run_the_same_run(cast):
    price()
    job = ask()
    Repricing.objects.filter(pk=job.pk).update(state="running", claimable_at=timezone.now() + LEASE, attempt=1)
    assert run_repricing(job.pk) is None
    assert due(timezone.now()) == []
    assert due(timezone.now() + LEASE + timedelta(seconds=1)) == [job.pk]


def test_the_same_wish_twice_is_one_run(cast):
    start = timezone.now() - DAY
    assert ask(since=start) == ask(since=start)


def test_the_estimate_is_what_the_run_then_does(cast):
    send(cast.support, [call(i, timezone.now() - i * timedelta(hours=5)) for i in range(20)])
    drain()
    price()
    window = {"start": timezone.now() - 30 * DAY, "end": timezone.now()}
    guess = estimate(current(), team_ids=[cast.support.pk], provider="acme", model="acme-1", **window)
    job = finish(ask())
    assert (guess.calls, guess.unpriced, guess.change) == (20, 20, job.change_usd)


def test_the_run_is_audited_and_marked_with_what_it_changed(cast):
    send(cast.support, [call(1, timezone.now())])
    price()
    job = finish(ask(cast.support))
    entry = AuditEntry.objects.filter(action="reprice.done").get()
    assert entry.after["cost_usd"] == str(job.cost_after)
    marker = ChangeMarker.objects.filter(title__startswith="Re-priced").get()
    assert marker.kind == ChangeMarker.Kind.PRICE
    assert "+$0.01 on 1 call" in marker.title


# --- Older than the raw events --------------------------------------------------------------------------------------


def make_old(team, hours: int = 3) -> None:
    """Move the team's hours and days 60 days back, as if their raw events were gone."""
    with connection.cursor() as cursor:
        for tier in ("hour", "day"):
            for prefix in ("", "tenant_"):
                cursor.execute(
                    f"UPDATE usage_{prefix}{tier} SET bucket = bucket - interval '60 days' WHERE team_id = %s",
                    [team.pk],
                )
        cursor.execute("DELETE FROM usage_event WHERE team_id = %s", [team.pk])
        cursor.execute("DELETE FROM usage_minute WHERE team_id = %s", [team.pk])


@pytest.fixture
def old_calls(cast):
    """Thirty calls of three hours, known by their sums only."""
    start = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0) - 2 * DAY
    calls = [call(i, start + (i % 3) * timedelta(hours=1), tenant=f"t{i % 2}") for i in range(30)]
    send(cast.support, calls)
    drain()
    make_old(cast.support)
    return start - 60 * DAY


def test_hours_older_than_the_raw_events_are_re_priced_from_their_tokens(cast, old_calls):
    price()
    job = finish(ask(since=timezone.now() - 100 * DAY))
    drain()
    for table in ("usage_hour", "usage_day", "usage_tenant_hour", "usage_tenant_day"):
        assert sums(cast.support, table) == (Decimal("0.21"), 30, 0), table
    assert (job.hours_from_rollups, job.hours_skipped, job.events_changed) == (3, 0, 30)
    assert job.change_usd == Decimal("0.21")
    assert not RollupMark.objects.exists()


def test_old_hours_tell_the_cost_of_conversations_where_all_calls_name_one(cast):
    start = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0) - 2 * DAY
    named = [call(i, start, conversation_id="c") for i in range(3)]
    mixed = [call(i + 3, start + timedelta(hours=1), conversation_id="c" if i else None) for i in range(3)]
    send(cast.support, named + mixed)
    drain()
    make_old(cast.support)
    price()
    finish(ask(since=timezone.now() - 100 * DAY))
    drain()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT cost_usd, conversation_cost_usd, conversation_priced, conversation_unknown"
            " FROM usage_hour WHERE team_id = %s ORDER BY bucket",
            [cast.support.pk],
        )
        (whole, named_cost, *known), part = cursor.fetchone(), cursor.fetchone()
    assert (whole, *known) == (named_cost, 3, None)
    assert (part[0], part[1:]) == (whole, (None, None, 2))


def test_a_second_run_over_old_hours_changes_nothing(cast, old_calls):
    price()
    finish(ask(since=timezone.now() - 100 * DAY))
    assert finish(ask(since=timezone.now() - 99 * DAY)).hours_from_rollups == 0


def test_old_hours_whose_sums_do_not_tell_the_price_are_left_and_counted(cast, old_calls):
    price(valid_to=old_calls + timedelta(minutes=90), since=old_calls)
    job = finish(ask(since=timezone.now() - 100 * DAY))
    assert (job.hours_from_rollups, job.hours_skipped) == (1, 2)
    assert sums(cast.support, "usage_hour") == (Decimal("0.07"), 10, 20)


def test_old_hours_with_a_regional_price_are_left_and_counted(cast, old_calls):
    price()
    price(region="eu", usd="3")
    job = finish(ask(since=timezone.now() - 100 * DAY))
    assert (job.hours_from_rollups, job.hours_skipped) == (0, 3)


def test_old_hours_of_a_tiered_or_service_tier_price_have_no_flat_rate(cast):
    hour = datetime(2026, 11, 20, 12, tzinfo=UTC)
    flat = history.flat_rate
    series = history.CallSeries
    assert flat(current(), 1, series("google", "gemini-2.5-pro", ""), hour) is None
    assert flat(current(), 1, series("openai", "gpt-4o", ""), hour) is None
    assert flat(current(), 1, series("openai", "gpt-3.5-turbo-instruct", ""), hour) is not None


def test_old_hours_are_chunked_too(cast, old_calls, monkeypatch):
    monkeypatch.setattr(history, "CHUNK_HOURS", 1)
    price()
    assert finish(ask(since=timezone.now() - 100 * DAY)).hours_from_rollups == 3


def test_the_raw_floor_is_a_day_that_is_surely_kept():
    now = timezone.now()
    assert raw_floor(now).date() == (partitions.raw_horizon(now) - DAY).date()
