"""What an accepted event becomes: its row, series, price, marks; and that it comes back as it was sent."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ingest import event, moment, rejection, send
from usage import partitions
from usage.actions import record_events
from usage.ingest import series
from usage.measures import COST_NONE, COST_PRICED, COST_UNMETERED, COST_UNPRICED
from usage.models import RollupMark, Series, UsageEvent

pytestmark = pytest.mark.django_db

CALL = {"operation": "chat", "provider": "openai", "model": "gpt-4o-mini"}
USED = {"input_tokens": 1000, "output_tokens": 100}


def stored(event_id: str = "e1") -> UsageEvent:
    return UsageEvent.objects.get(event_id=event_id)


def series_of(one: UsageEvent) -> Series:
    return Series.objects.get(team_id=one.team_id, id=one.series_id)


def record(team, *events: dict, environment: str = "", **options):
    return record_events(team=team, environment=environment, api_key_id=None, events=list(events), **options)


def test_every_field_comes_back(way, client, support_key, cast):
    sent = {
        "trace_id": "t", "span_id": "s", "parent_span_id": "p", "request_id": "r", "conversation_id": "c",
        "session_id": "ss", "tenant": "acme", "user_hash": "h", "response_model": "gpt-4o-mini-2024-07-18",
        "latency_ms": 5, "ttft_ms": 4, "queue_ms": 3, "input_tokens": 30, "output_tokens": 20,
        "cached_input_tokens": 10, "cache_write_tokens": 9, "reasoning_tokens": 8, "context_tokens": 7,
        "top_score": 0.25, "http_status": 200, "retry_count": 2, "documents": 0, "citations": 6,
        "refused": False, "policy_hit": True, "schema_valid": True, "cache_hit": False, "escalated": True,
    }  # fmt: skip
    dims = {
        "environment": "prod", "service": "api", "feature": "f", "endpoint": "/x", "operation": "chat",
        "provider": "openai", "model": "gpt-4o-mini", "region": "eu", "release": "1", "prompt_version": "2",
        "experiment": "x", "variant": "b", "cost_center": "cc", "initiator": "user", "tool_name": "tool",
        "status": "fallback", "error_type": "timeout", "fallback_from": "gpt-4o",
    }  # fmt: skip
    detail = {
        "streaming": True, "stop_reason": "stop", "temperature": 0.5, "max_tokens": 100, "prompt_hash": "ph",
        "retriever_config": "rc", "index_version": "iv", "policy_profile": "pp", "top_k": 5, "tool_version": "2",
        "result_bytes": 10**12, "service_tier": "priority",
    }  # fmt: skip
    body = event(**sent, **dims, **detail, feedback="down", reported_cost_usd=0.000123456789, team="support")
    assert send(client, support_key, body).json()["accepted"] == 1, body
    row = stored()
    assert {name: getattr(row, name) for name in sent} == sent
    assert {name: getattr(series_of(row), name) for name in dims} == dims
    assert row.detail == detail
    assert (row.feedback, row.reported_cost_usd) == (-1, Decimal("0.000123456789"))
    assert row.api_key_id == cast.support.api_keys.get().pk
    assert abs(row.received_at - datetime.now(UTC)) < timedelta(seconds=30)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.tuples(*[texts] * 9),
    feature=texts,
    counts=st.tuples(*[st.none() | st.integers(0, 10**9)] * 2),
    attributes=st.dictionaries(texts.map("x-".__add__), json_values.map(lambda value: [value]), max_size=4),
    at=st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 20), timezones=st.just(UTC)),
    ascii_only=st.booleans(),
)
def test_whatever_is_sent_is_what_is_read_back(way, cast, ids, feature, counts, attributes, at, ascii_only):
    names = ("trace_id", "span_id", "parent_span_id", "request_id", "conversation_id", "session_id", "tenant",
             "user_hash", "response_model")  # fmt: skip
    sent = {
        "event_id": f"h{ids[0]}",
        "occurred_at": at.isoformat(),
        "feature": feature,
        **dict(zip(names, ids, strict=True)),
    }
    sent |= {"input_tokens": counts[0], "output_tokens": counts[1], **attributes}
    body = json.dumps([sent], ensure_ascii=ascii_only).encode()
    UsageEvent.objects.all().delete()
    outcome = record_events(
        team=cast.support, environment="", api_key_id=None, events=body, now=datetime(2026, 1, 21, tzinfo=UTC)
    )
    assert (outcome.accepted, outcome.rejected) == (1, [])
    row = UsageEvent.objects.get()
    assert row.event_id == sent["event_id"]
    assert {name: getattr(row, name) or "" for name in names} == dict(zip(names, ids, strict=True))
    assert (row.input_tokens, row.output_tokens, row.occurred_at) == (*counts, at)
    assert series_of(row).feature == feature
    assert (row.detail or {}).get("attributes", {}) == attributes


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        (CALL | USED, COST_PRICED),
        (CALL | {"model": "no-such-model", "response_model": "gpt-4o-mini"} | USED, COST_PRICED),
        (CALL | {"model": "no-such-model"} | USED, COST_UNPRICED),
        (CALL | {"model": "no-such-model"}, COST_UNMETERED),
        (CALL, COST_UNMETERED),
        (CALL | {"input_tokens": 10}, COST_UNMETERED),
        (CALL | {"output_tokens": 10}, COST_UNMETERED),
        (CALL | {"operation": "embeddings", "model": "text-embedding-3-small", "input_tokens": 10}, COST_PRICED),
        (CALL | {"status": "error", "error_type": "rate_limit"}, COST_NONE),
        (CALL | {"status": "blocked"}, COST_NONE),
        (CALL | {"status": "error", "error_type": "timeout"}, COST_UNMETERED),
        (CALL | {"status": "cancelled"}, COST_UNMETERED),
        (CALL | {"status": "error", "error_type": "schema_invalid"} | USED, COST_PRICED),
        ({"operation": "retrieval"}, COST_NONE),
        ({"operation": "invoke_agent"} | USED, COST_NONE),
    ],
)
def test_the_state_of_the_cost(cast, fields, state):
    assert record(cast.support, event(**fields)).accepted == 1
    assert (stored().cost_state, stored().cost_usd is None) == (state, state != COST_PRICED)


def test_the_cost_is_exact_and_prices_cached_input_once(cast):
    record(cast.support, event(**CALL, input_tokens=1000, cached_input_tokens=400, output_tokens=100))
    # gpt-4o-mini: 0.15 / 0.075 / 0.60 USD per million
    assert stored().cost_usd == Decimal("0.000090") + Decimal("0.000030") + Decimal("0.000060")


def test_the_clients_cost_is_kept_beside_ours(cast):
    record(cast.support, event("a", **CALL, **USED, cost_usd=0.5), event("b", cost_usd=0.5, reported_cost_usd="0.25"))
    assert stored("a").reported_cost_usd == Decimal("0.5")
    assert stored("a").cost_usd == Decimal("0.00021")
    assert stored("b").reported_cost_usd == Decimal("0.25")


def test_money_beyond_twelve_decimals_is_rounded_and_an_absurd_exponent_is_harmless(cast):
    amounts = [b"0.0000000000016", b"1e-999999999"]
    body = b"\n".join(
        b'{"event_id": "%s", "reported_cost_usd": %s}' % pair for pair in zip([b"a", b"b"], amounts, strict=True)
    )
    record_events(team=cast.support, environment="", api_key_id=None, events=body)
    assert stored("a").reported_cost_usd == Decimal("0.000000000002")
    assert stored("b").reported_cost_usd == 0


def test_a_series_points_to_its_narrow_one(cast):
    record(cast.support, event("a", **CALL, release="7"), event("b", **CALL), event("c", parent_span_id="p", **CALL))
    wide, narrow, inner = (series_of(stored(name)) for name in "abc")
    assert wide.narrow_id == narrow.id == narrow.narrow_id
    assert (wide.release, narrow.release, wide.entry, inner.entry) == ("7", "", True, False)
    assert inner.id != narrow.id


def test_defaults_of_dimensions(cast):
    record(cast.support, event("a"), event("b", status="error"), environment="prod")
    plain, failed = series_of(stored("a")), series_of(stored("b"))
    assert (plain.operation, plain.status, plain.error_type, plain.environment) == ("chat", "success", "", "prod")
    assert failed.error_type == "other"


def test_series_removed_meanwhile_are_made_again(cast):
    record(cast.support, event("a", feature="f"))
    Series.objects.filter(team_id=cast.support.pk).delete()
    UsageEvent.objects.all().delete()
    assert record(cast.support, event("a", feature="f"), event("b", feature="g")).accepted == 2
    assert {series_of(stored(name)).feature for name in "ab"} == {"f", "g"}


def test_beyond_the_series_limit_rare_dimensions_are_folded_and_kept_with_the_event(cast, settings):
    settings.SERIES_LIMIT = 6
    for number in range(8):
        record(cast.support, event(str(number), feature="f", endpoint=f"/{number}"))
    first, last = stored("0"), stored("7")
    assert (series_of(first).endpoint, first.detail) == ("/0", None)
    assert (series_of(last).endpoint, series_of(last).feature) == (series.OVERFLOW, "f")
    assert last.detail == {"folded": {"endpoint": "/7"}}


def test_beyond_twice_the_limit_every_text_is_folded_so_that_the_number_stays_bounded(cast, settings):
    settings.SERIES_LIMIT = 4
    for number in range(60):
        record(cast.support, event(str(number), feature=f"f{number}"))
    assert Series.objects.filter(team_id=cast.support.pk).count() <= 2 * settings.SERIES_LIMIT + 2
    assert stored("59").detail["folded"]["feature"] == "f59"


def test_the_cache_of_series_is_bounded(cast, monkeypatch):
    monkeypatch.setattr(series, "MEMORY", 10)
    for number in range(30):
        record(cast.support, event(str(number), feature=f"f{number}"))
    assert sum(map(len, series._known.values())) <= 11


def test_minutes_of_accepted_events_are_marked_with_their_batch(cast):
    record(cast.support, event("a", occurred_at=moment(minutes=5)), event("b", occurred_at=moment(minutes=9)))
    marks = set(RollupMark.objects.values_list("tier", "bucket", "batch_id"))
    minutes = {row.occurred_at.replace(second=0, microsecond=0) for row in UsageEvent.objects.all()}
    assert {bucket for _, bucket, _ in marks} == minutes
    assert {(tier, batch) for tier, _, batch in marks} == {(RollupMark.MINUTE, stored("a").batch_id)}


def test_events_older_than_the_minutes_mark_their_hour(cast, settings):
    record(cast.support, event(occurred_at=moment(days=settings.MINUTE_RETENTION_DAYS + 2)))
    [mark] = RollupMark.objects.all()
    assert (mark.tier, mark.batch_id) == (RollupMark.HOUR, None)
    assert mark.bucket == stored().occurred_at.replace(minute=0, second=0, microsecond=0)


def test_duplicates_and_rejections_mark_nothing(client, support_key, cast):
    one = event()
    record(cast.support, one)
    RollupMark.objects.all().delete()
    assert record(cast.support, one).duplicates == 1
    rejection(client, support_key, input_tokens=-1)
    assert not RollupMark.objects.exists()


def test_a_missing_partition_is_made(cast):
    at = datetime.now(UTC) - timedelta(days=20)
    name = partitions.existing("usage_event")[at.date()]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {name}")
    assert record(cast.support, event(occurred_at=at.isoformat())).accepted == 1
    assert at.date() in partitions.existing("usage_event")
