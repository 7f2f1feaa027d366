"""Exactly once: duplicates, retries, Idempotency-Key, many senders at once, and a database that cannot write."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from threading import Barrier

import pytest
from django.db import connection, connections
from django.test import Client

from tests.cast import make_key, make_team
from tests.ingest import event, moment, send
from usage.models import BatchLedger, RollupMark, Series, UsageEvent

KEY = "Idempotency-Key"
SENDERS = 8


@pytest.fixture
def committing_key(transactional_db) -> str:
    """A key of a team whose rows are really committed, for tests with several connections."""
    return make_key(make_team("busy"))[1]


def at_once(send_one) -> list:
    """The results of `send_one(number)` from SENDERS threads, each with its own connection, started together."""
    barrier = Barrier(SENDERS)

    def run(number):
        try:
            barrier.wait()
            return send_one(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(SENDERS) as pool:
        return list(pool.map(run, range(SENDERS)))


@pytest.mark.django_db
def test_a_retry_is_a_duplicate(way, client, support_key):
    body = [event("a"), event("b")]
    assert send(client, support_key, body).json()["accepted"] == 2
    again = send(client, support_key, [*body, event("c")])
    assert again.status_code == 202
    assert (again.json()["accepted"], again.json()["duplicates"]) == (1, 2)
    assert UsageEvent.objects.count() == 3


@pytest.mark.django_db
def test_the_same_event_twice_in_a_body_is_counted_once_and_the_first_wins(client, support_key):
    first = event("a", latency_ms=1)
    answer = send(client, support_key, [first, first | {"latency_ms": 2}]).json()
    assert (answer["accepted"], answer["duplicates"]) == (1, 1)
    assert UsageEvent.objects.get().latency_ms == 1


@pytest.mark.django_db
def test_the_same_moment_in_another_zone_is_the_same_event(client, support_key):
    at = datetime.now(UTC) - timedelta(hours=1)
    east = at.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert send(client, support_key, event("a", occurred_at=at.isoformat())).json()["accepted"] == 1
    assert send(client, support_key, event("a", occurred_at=east.isoformat())).json()["duplicates"] == 1


@pytest.mark.django_db
def test_an_event_without_a_time_keeps_the_time_of_its_first_receipt(client, support_key):
    assert send(client, support_key, [{"event_id": "a"}, {"event_id": "a"}]).json()["accepted"] == 1
    assert send(client, support_key, {"event_id": "a", "occurred_at": None}).json()["duplicates"] == 1
    assert UsageEvent.objects.count() == 1


@pytest.mark.django_db
def test_teams_do_not_share_ids(client, cast):
    body = event("a")
    for team in (cast.support, cast.search):
        assert send(client, make_key(team, "ingest")[1], body).json()["accepted"] == 1


@pytest.mark.django_db
def test_a_retry_with_its_idempotency_key_gets_the_same_answer(way, client, support_key):
    body = [event("a"), event("b", input_tokens=-1)]
    first = send(client, support_key, body, **{KEY: "k1"})
    again = send(client, support_key, body, **{KEY: "k1"})
    assert (again.status_code, again.json()) == (202, first.json())
    assert again["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first
    assert UsageEvent.objects.count() == 1


@pytest.mark.django_db
def test_an_idempotency_key_with_another_body_is_409(client, support_key):
    send(client, support_key, event("a"), **{KEY: "k1"})
    answer = send(client, support_key, event("b"), **{KEY: "k1"})
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "idempotency_conflict"
    assert UsageEvent.objects.count() == 1


@pytest.mark.django_db
def test_a_refused_batch_leaves_its_key_free(client, support_key):
    assert send(client, support_key, event("a", input_tokens=-1), **{KEY: "k1"}).status_code == 400
    assert send(client, support_key, event("a"), **{KEY: "k1"}).status_code == 202


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["k" * 201, "a\tb"])
def test_an_unusable_idempotency_key_is_400(client, support_key, key):
    answer = send(client, support_key, event(), **{KEY: key})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, KEY)


def test_the_same_batch_from_eight_connections_is_accepted_once(way, committing_key):
    body = json.dumps([event(str(number), feature=f"f{number % 7}") for number in range(300)]).encode()
    answers = at_once(lambda _: send(Client(), committing_key, body))
    assert {answer.status_code for answer in answers} == {202}
    assert sum(answer.json()["accepted"] for answer in answers) == 300
    assert sum(answer.json()["duplicates"] for answer in answers) == 300 * (SENDERS - 1)
    assert UsageEvent.objects.count() == 300
    assert Series.objects.filter(feature__startswith="f").count() == 7
    assert RollupMark.objects.values("batch_id").distinct().count() == 1


def test_overlapping_batches_in_any_order_neither_deadlock_nor_lose_events(way, committing_key):
    events = [event(str(number), occurred_at=moment(minutes=number)) for number in range(200)]
    parts = [events[number * 10 : number * 10 + 120][:: -1 if number % 2 else 1] for number in range(SENDERS)]
    answers = at_once(lambda number: send(Client(), committing_key, parts[number]))
    assert {answer.status_code for answer in answers} == {202}
    sent = {one["event_id"] for part in parts for one in part}
    assert sum(answer.json()["accepted"] for answer in answers) == len(sent) == UsageEvent.objects.count()


def test_one_idempotency_key_from_eight_connections_gives_one_answer(way, committing_key):
    body = json.dumps([event(str(number)) for number in range(50)]).encode()
    answers = at_once(lambda _: send(Client(), committing_key, body, **{KEY: "k1"}))
    assert [answer.status_code for answer in answers] == [202] * SENDERS
    assert {answer.content for answer in answers} == {answers[0].content}
    assert json.loads(answers[0].content)["accepted"] == 50
    assert sum("Idempotency-Replayed" not in answer for answer in answers) == 1
    assert (UsageEvent.objects.count(), BatchLedger.objects.count()) == (50, 1)


def test_events_without_a_time_from_eight_connections_are_one_event(committing_key):
    answers = at_once(lambda _: send(Client(), committing_key, [{"event_id": "a"}, {"event_id": "b"}]))
    assert sum(answer.json()["accepted"] for answer in answers) == 2
    assert UsageEvent.objects.count() == 2


def test_a_read_only_database_is_503_with_retry_after_and_nothing_is_written(way, committing_key, client):
    send(client, committing_key, event("before"))
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    try:
        known = send(client, committing_key, event("a"), **{KEY: "k1"})
        new_series = send(client, committing_key, event("b", feature="new"))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
    for answer in (known, new_series):
        assert answer.status_code == 503, answer.content
        assert int(answer["Retry-After"]) >= 1
        assert answer.json()["error"]["code"] == "database_unavailable"
    assert list(UsageEvent.objects.values_list("event_id", flat=True)) == ["before"]
    assert not BatchLedger.objects.exists()


def test_a_row_locked_too_long_is_503_and_nothing_is_written(way, committing_key, client, monkeypatch):
    monkeypatch.setattr("usage.ingest.write.LOCK_TIMEOUT", "200ms")
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE usage_event IN ACCESS EXCLUSIVE MODE")
        answer = send(client, committing_key, event("a"), **{KEY: "k1"})
    finally:
        other.rollback()
        other.close()
    assert answer.status_code == 503
    assert not UsageEvent.objects.exists()
    assert not BatchLedger.objects.exists()
    assert send(client, committing_key, event("a"), **{KEY: "k1"}).json()["accepted"] == 1


def test_a_transaction_that_fails_at_its_end_leaves_nothing(way, committing_key, client):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE usage_rollup_mark ADD CONSTRAINT broken CHECK (tier > 9) NOT VALID")
    try:
        client.raise_request_exception = False
        answer = send(client, committing_key, event("a"), **{KEY: "k1"})
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE usage_rollup_mark DROP CONSTRAINT broken")
    assert answer.status_code == 500
    assert not UsageEvent.objects.exists()
    assert not BatchLedger.objects.exists()
