"""A few events are stored by one statement, many by COPY: both keep every promise, also against each other."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import monotonic, sleep

import pytest
from django.db import connection
from django.test import Client

from accounts.actions import Author
from tests.cast import make_key, make_team
from tests.ingest import event, moment, send
from tests.test_ingest_once import at_once
from usage.ingest import write
from usage.models import RollupMark, Series, UsageEvent
from usage.pricing import book
from usage.pricing.actions import Rates, add_price, edit_price

SYSTEM = Author(label="test")
CALL = {"operation": "chat", "provider": "acme", "model": "own", "input_tokens": 1_000_000, "output_tokens": 0}


@pytest.fixture
def team(transactional_db):
    """A team whose rows are really committed."""
    return make_team("busy")


@pytest.fixture
def key(team) -> str:
    return make_key(team)[1]


def ids(number: int, prefix: str = "") -> list[dict]:
    """`number` events, a second apart."""
    return [event(f"{prefix}{place}", occurred_at=moment(minutes=60, seconds=-place)) for place in range(number)]


def usd(price: int) -> Rates:
    return Rates(input_mtok=Decimal(price))


def test_one_event_from_eight_connections_is_accepted_once(key):
    one = event("a")
    answers = at_once(lambda _: send(Client(), key, one))
    assert [answer.status_code for answer in answers] == [202] * len(answers)
    assert sum(answer.json()["accepted"] for answer in answers) == 1
    assert (UsageEvent.objects.count(), RollupMark.objects.count()) == (1, 1)


def test_overlapping_small_and_large_batches_neither_deadlock_nor_lose_events(key):
    events = ids(240)
    parts = [events[:200], events[::-1][:200], *(events[start::40][:6] for start in range(6))]
    answers = at_once(lambda number: send(Client(), key, parts[number]))
    assert {answer.status_code for answer in answers} == {202}
    sent = {one["event_id"] for part in parts for one in part}
    assert sum(answer.json()["accepted"] for answer in answers) == len(sent) == UsageEvent.objects.count()


def test_two_teams_may_send_the_same_event_at_once(team):
    keys = [make_key(team)[1], make_key(make_team("other"))[1]]
    one = event("a")
    answers = at_once(lambda number: send(Client(), keys[number % 2], one))
    assert sum(answer.json()["accepted"] for answer in answers) == 2


def test_the_limit_decides_the_way_and_both_are_told_apart_by_nothing(client, key):
    for number in (write.SMALL, write.SMALL + 1):
        assert send(client, key, ids(number, f"{number}-")).json()["accepted"] == number
    assert UsageEvent.objects.count() == 2 * write.SMALL + 1


@pytest.mark.parametrize("minutes_kept", [14, 0])
def test_marks_name_the_batch_where_minutes_are_kept_else_the_hour(way, client, key, settings, minutes_kept):
    settings.MINUTE_RETENTION_DAYS = minutes_kept
    yesterday = datetime.now(UTC).replace(hour=10, minute=0, second=0, microsecond=0) - timedelta(days=1)
    moments = [yesterday + timedelta(seconds=offset) for offset in (0, 59, 60, 3600)]
    body = [event(str(place), occurred_at=at.isoformat()) for place, at in enumerate(moments)]
    send(client, key, body)
    batch = UsageEvent.objects.values_list("batch_id", flat=True).first()
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    wanted = (
        {(0, yesterday, batch), (0, yesterday + minute, batch), (0, yesterday + hour, batch)}
        if minutes_kept
        else {(1, yesterday, None), (1, yesterday + hour, None)}
    )
    assert set(RollupMark.objects.values_list("tier", "bucket", "batch_id")) == wanted
    assert RollupMark.objects.count() == len(wanted)


def test_a_price_changed_by_another_process_holds_for_the_very_next_event(way, client, key):
    start = datetime.now(UTC) - timedelta(days=1)
    price = add_price(author=SYSTEM, team=None, provider="acme", model="own", rates=usd(1), valid_from=start)
    send(client, key, event("before", **CALL))
    remembered = book.remembered()
    edit_price(author=SYSTEM, price=price, rates=usd(2), effective_from=start)
    book._book = remembered  # as in a process that has not heard of it
    assert send(client, key, event("after", **CALL)).json()["accepted"] == 1
    costs = dict(UsageEvent.objects.values_list("event_id", "cost_usd"))
    assert costs == {"before": Decimal(1), "after": Decimal(2)}


def test_a_remembered_series_that_was_removed_is_made_again(way, client, key):
    send(client, key, event("a", feature="x"))
    UsageEvent.objects.all().delete()
    Series.objects.all().delete()
    assert send(client, key, event("b", feature="x")).json()["accepted"] == 1
    assert Series.objects.filter(id=UsageEvent.objects.get().series_id, feature="x").exists()


def test_a_missing_partition_is_made(way, client, key):
    at = datetime.now(UTC) - timedelta(days=20)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE usage_event_{at:%Y%m%d}")
    assert send(client, key, event("a", occurred_at=at.isoformat())).json()["accepted"] == 1


def test_a_session_that_is_killed_while_it_waits_leaves_nothing_and_a_retry_is_taken(way, key):
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE usage_rollup_mark IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(send, Client(), key, event("a"), **{"Idempotency-Key": "k"})
            kill_who_waits()
            assert answer.result(30).status_code == 503
    finally:
        other.rollback()
        other.close()
    assert not UsageEvent.objects.exists()
    again = send(Client(), key, event("a"), **{"Idempotency-Key": "k"})
    assert (again.json()["accepted"], "Idempotency-Replayed" in again) == (1, False)


def kill_who_waits() -> None:
    deadline = monotonic() + 20
    with connection.cursor() as cursor:
        while monotonic() < deadline:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return
            sleep(0.05)
    raise AssertionError("nobody waited for the lock")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text", ["", '"', "\\", "a\tb\nc\rd\x0b\x01", '",""', "null", "\\.", "]\n[", "ü€😀", "\\n", "a,b"], ids=repr
)
def test_texts_hard_for_csv_come_back_as_they_were(way, client, support_key, text):
    body = event("e", tenant=text, trace_id=f"{text}x", attributes={"said": text})
    assert send(client, support_key, [body, event("f")]).json()["accepted"] == 2
    row = UsageEvent.objects.get(event_id="e")
    assert (row.tenant or "", row.trace_id, row.detail["attributes"]) == (text, f"{text}x", {"said": text})
    assert row.tenant != ""
