"""Roll-ups: whatever the order of events, corrections, drains and crashes, they end up saying what the events say."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cast import make_team
from tests.hot_tables import empty_hot_tables
from tests.traffic import event, record
from usage import histogram, partitions
from usage.actions import record_events
from usage.models import ReconciledDay, RollupMark, UsageEvent
from usage.reconcile import reconcile_day
from usage.rollups import drain, drain_tier, lag_seconds
from usage.rollups.drain import MINUTE, mark

pytestmark = pytest.mark.django_db(transaction=True)

# Minutes before now an event may come with: this hour, yesterday, beyond the minute roll-ups (14 days), near the end.
AGES = (2, 3, 59, 61, 60 * 24, 60 * 24 * 13, 60 * 24 * 16, 60 * 24 * 34)


def all_days_equal(now: datetime) -> bool:
    days = [day for age in AGES for day in reconcile_day((now - timedelta(minutes=age)).date(), now)]
    return bool(days) and all(day.verdict == ReconciledDay.Verdict.EQUAL for day in days)


def total(table: str, column: str) -> int | Decimal:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(sum({column}), 0) FROM usage_{table}")
        return cursor.fetchone()[0]


def correct_price(team, at: datetime, cost: Decimal) -> None:
    """What re-pricing does to one minute."""
    with transaction.atomic():
        changed = UsageEvent.objects.filter(
            team_id=team.pk, occurred_at__gte=at, occurred_at__lt=at + timedelta(minutes=1)
        ).update(cost_usd=cost, cost_state=1)
        if changed:
            with connection.cursor() as cursor:
                if at >= partitions.minute_horizon(timezone.now()):
                    mark(cursor, team.pk, MINUTE, {at})
                else:
                    mark(cursor, team.pk, RollupMark.HOUR, {at.replace(minute=0)})


steps = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.sampled_from(AGES), st.integers(1, 4)),
        st.tuples(st.just("again"), st.sampled_from(AGES), st.just(0)),
        st.tuples(st.just("reprice"), st.sampled_from(AGES), st.integers(0, 9)),
        st.tuples(st.just("drain"), st.sampled_from((0, 1, 2)), st.just(0)),
    ),
    min_size=1,
    max_size=14,
)


@given(steps)
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_any_order_of_events_corrections_and_drains_ends_equal(steps):
    """The state is emptied by hand: hypothesis runs all its examples inside one test."""
    empty_hot_tables()
    team = make_team(f"team-{timezone.now().timestamp()}".replace(".", "-"))
    now = timezone.now().replace(second=0, microsecond=0)
    sent = {age: [] for age in AGES}
    for step, which, number in steps:
        at = now - timedelta(minutes=which)
        if step == "record":
            sent[which] += record(
                team,
                at,
                number,
                tenant="acme" if number > 2 else None,
                conversation_id=f"c-{number}" if number > 1 else None,
            )
        elif step == "again" and sent[which]:
            outcome = record_events(team=team, environment="", api_key_id=None, events=sent[which])
            assert outcome.accepted == 0
        elif step == "reprice":
            correct_price(team, at, Decimal(number) / 1000)
        elif step == "drain":
            drain_tier(which)
    drain()
    expected = sum(len(events) for events in sent.values())
    assert total("hour", "events") == total("day", "events") == expected
    assert not expected or all_days_equal(timezone.now())


def test_a_minute_is_folded_batch_by_batch():
    team, at = make_team(), timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=2)
    for latency in (10, 10, 5000):
        record(team, at, 1, latency_ms=latency)
        drain_tier(MINUTE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT events, latency_ms, latency_histogram FROM usage_minute")
        ((events, latency, packed),) = cursor.fetchall()
    assert (events, latency) == (3, 5020)
    assert histogram.counts(bytes(packed)).sum() == 3
    assert histogram.quantile(bytes(packed), 0.5) == pytest.approx(10, rel=0.02)


def test_a_recompute_leaves_pending_batches_to_their_fold():
    team, at = make_team(), timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=2)
    record(team, at, 2)
    drain_tier(MINUTE)
    correct_price(team, at, Decimal("0.5"))
    record(team, at, 1)
    drain()
    assert total("minute", "events") == 3
    assert all_days_equal(timezone.now())


def test_events_older_than_the_minute_rollups_reach_their_hour_and_day():
    team, at = make_team(), timezone.now() - timedelta(days=20)
    record(team, at, 5)
    drain()
    assert total("minute", "events") == 0
    assert total("hour", "events") == total("day", "events") == 5


def test_a_drain_that_fails_changes_nothing(monkeypatch):
    team, at = make_team(), timezone.now() - timedelta(minutes=2)
    record(team, at, 5)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE usage_minute ADD CONSTRAINT broken CHECK (events < 5)")
    try:
        with pytest.raises(Exception, match="broken"):
            drain_tier(MINUTE)
        assert total("minute", "events") == 0
        assert RollupMark.objects.filter(tier=MINUTE).count() == 1
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE usage_minute DROP CONSTRAINT broken")
    drain()
    assert total("day", "events") == 5


def test_drains_and_ingest_at_once_lose_and_double_nothing():
    team = make_team()
    start = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=5)
    stop = threading.Event()
    failures: list[BaseException] = []

    def ingest(worker: int) -> None:
        try:
            for number in range(40):
                at = start + timedelta(minutes=number % 3, milliseconds=worker * 50)
                record_events(
                    team=team,
                    environment="",
                    api_key_id=None,
                    events=[event(at, event_id=f"{worker}-{number}-{k}", tenant="acme") for k in range(5)],
                )
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    def keep_draining() -> None:
        try:
            while not stop.is_set():
                for tier in (0, 1, 2):
                    drain_tier(tier)
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    writers = [threading.Thread(target=ingest, args=(n,)) for n in range(4)]
    drainers = [threading.Thread(target=keep_draining) for _ in range(2)]
    for thread in [*writers, *drainers]:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in drainers:
        thread.join()
    drain()
    assert failures == []
    assert total("minute", "events") == total("tenant_minute", "events") == total("day", "events") == 4 * 40 * 5
    assert all_days_equal(timezone.now())


def test_the_lag_is_the_age_of_the_oldest_unrolled_minute():
    assert lag_seconds() == 0
    record(make_team(), timezone.now())
    assert 0 < lag_seconds() < 60
    drain()
    assert lag_seconds() == 0


def test_partitions_are_made_ahead_and_dropped_only_when_drained():
    now = timezone.now()
    team = make_team()
    record(team, now - timedelta(days=30), 2)
    later = now + timedelta(days=10)
    assert partitions.ensure(later)
    oldest = (now - timedelta(days=30)).date()
    assert oldest in partitions.existing("usage_event")
    partitions.drop_old(later)
    assert oldest in partitions.existing("usage_event"), "an undrained day must stay"
    drain()
    assert partitions.partition_name("usage_event", oldest) in partitions.drop_old(later)
    assert partitions.ensure(later) == []
    assert total("day", "events") == 2, "the sums outlive the events"
    partitions.ensure(now)


@given(st.lists(st.integers(0, 86_400_000), min_size=1, max_size=400), st.floats(0.01, 0.99))
def test_a_histogram_quantile_is_within_two_percent(values, q):
    exact = sorted(values)[max(-(-int(q * len(values) * 1e9) // 10**9), 1) - 1]
    assert histogram.quantile(histogram.pack_values(values), q) == pytest.approx(max(exact, 1), rel=0.02)


@given(st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=150), min_size=1, max_size=6))
def test_histograms_put_behind_each_other_are_merged(parts):
    together = histogram.pack_values([value for part in parts for value in part])
    assert histogram.compact(b"".join(histogram.pack_values(part) for part in parts)) == together


def test_a_count_beyond_32_bits_is_kept():
    packed = bytes.fromhex("0003ffffffff") * 3
    assert histogram.counts(histogram.compact(packed))[3] == 3 * (2**32 - 1)


def test_midnight_belongs_to_the_next_day():
    team = make_team()
    midnight = datetime.combine(timezone.now().date(), datetime.min.time(), tzinfo=UTC) - timedelta(days=1)
    record(team, midnight - timedelta(milliseconds=1))
    record(team, midnight)
    drain()
    with connection.cursor() as cursor:
        cursor.execute("SELECT bucket, events FROM usage_day ORDER BY 1")
        assert cursor.fetchall() == [(midnight - timedelta(days=1), 1), (midnight, 1)]


def test_conversations_of_before_are_rolled_up_by_the_migration():
    team, at = make_team(), timezone.now() - timedelta(minutes=2)
    record(team, at, 2, conversation_id="c"), record(team, at - timedelta(days=20), 2, conversation_id="d")
    record(team, at - timedelta(minutes=9), 2)
    drain()
    with connection.cursor() as cursor:
        for tier in ("minute", "hour", "day"):
            cursor.execute(f"UPDATE usage_{tier} SET conversation_sketch = NULL, conversation_priced = NULL")
        cursor.execute(import_module("usage.migrations.0007_mark_conversations").MARK)
    assert RollupMark.objects.count() == 2
    drain()
    assert all_days_equal(timezone.now())
