"""Single events: what each field takes, and that a bad event is named with field and fix while the good ones stay."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.cast import make_key
from tests.ingest import event, moment, rejection, send
from usage.models import UsageEvent

pytestmark = pytest.mark.django_db


def stored(event_id: str = "e1") -> UsageEvent:
    return UsageEvent.objects.get(event_id=event_id)


def raw(client, key: str, fields: bytes, event_id: str = "e1"):
    """Send one event with `fields` as they stand, for what json.dumps would not write, after a good one."""
    start = json.dumps({"occurred_at": moment(minutes=1)})[1:-1].encode()
    good = json.dumps(event("good")).encode()
    body = b'[%s, {"event_id": "%s", %s, %s}]' % (good, event_id.encode(), start, fields)
    answer = send(client, key, body)
    assert answer.json()["accepted"] == (1 if answer.json()["rejected"] else 2)
    return answer.json()["rejected"][0] if answer.json()["rejected"] else None


def test_good_events_of_a_partly_bad_batch_are_kept(client, support_key):
    answer = send(client, support_key, [event("a"), event("b", input_tokens=-1), event("c")])
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    [bad] = answer.json()["rejected"]
    assert bad == {
        "index": 1,
        "event_id": "b",
        "field": "input_tokens",
        "code": "out_of_range",
        "message": "input_tokens: must be a whole number from 0 to 1,000,000,000; got -1.",
        "fix": "Send null, or leave it out, where it is unknown.",
    }


def test_the_list_of_rejections_is_bounded_and_their_count_is_not(client, support_key):
    answer = send(client, support_key, [event(str(number), input_tokens=-1) for number in range(1500)])
    assert answer.status_code == 400
    assert (answer.json()["rejected_count"], len(answer.json()["rejected"])) == (1500, 1000)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"input_tokens": -1}, "out_of_range"),
        ({"input_tokens": 1_000_000_001}, "out_of_range"),
        ({"input_tokens": 10**18}, "out_of_range"),
        ({"input_tokens": 10**30}, "out_of_range"),
        ({"input_tokens": 1.5}, "wrong_type"),
        ({"input_tokens": "12"}, "wrong_type"),
        ({"input_tokens": True}, "wrong_type"),
        ({"input_tokens": [1]}, "wrong_type"),
        ({"latency_ms": -0.5}, "out_of_range"),
        ({"latency_ms": 86_400_001}, "out_of_range"),
        ({"latency_ms": "100"}, "wrong_type"),
        ({"http_status": 42}, "out_of_range"),
        ({"top_score": "high"}, "wrong_type"),
        ({"refused": 1}, "wrong_type"),
        ({"refused": "true"}, "wrong_type"),
        ({"feedback": 1}, "wrong_type"),
        ({"feedback": "sideways"}, "unknown_value"),
        ({"status": "ok"}, "unknown_value"),
        ({"status": "error", "error_type": "gremlins"}, "unknown_value"),
        ({"error_type": "timeout"}, "contradiction"),
        ({"initiator": "robot"}, "unknown_value"),
        ({"operation": "Chat GPT"}, "pattern"),
        ({"trace_id": 7}, "wrong_type"),
        ({"trace_id": "t" * 201}, "too_long"),
        ({"feature": "f" * 1_000_000}, "too_long"),
        ({"reported_cost_usd": -0.01}, "out_of_range"),
        ({"reported_cost_usd": 10_000_000}, "out_of_range"),
        ({"cost_usd": "NaN"}, "out_of_range"),
        ({"cost_usd": "cheap"}, "wrong_type"),
        ({"cost_usd": "1_0"}, "wrong_type"),
        ({"cost_usd": "\u0661"}, "wrong_type"),
        ({"cost_usd": " 1"}, "wrong_type"),
        ({"reported_cost_usd": "0.0\uff11"}, "wrong_type"),
        ({"reported_cost_usd": "1_0", "no_field_of_ours": 1}, "wrong_type"),
        ({"team": "search"}, "wrong_team"),
        ({"attributes": [1]}, "invalid"),
    ],
)
def test_a_bad_value_is_rejected_and_named(client, support_key, fields, code):
    bad = rejection(client, support_key, **fields)
    field = "error_type" if "error_type" in fields else next(iter(fields))
    assert (bad["field"], bad["code"], bad["event_id"]) == (field, code, "e1")
    assert bad["message"]
    assert bad["fix"]
    assert len(json.dumps(bad)) < 1000


def test_the_error_types_are_listed_when_one_is_unknown(client, support_key):
    bad = rejection(client, support_key, status="error", error_type="gremlins")
    assert "rate_limit" in bad["message"]
    assert "tool_failure" in bad["message"]


def test_an_event_without_an_id_is_rejected(client, support_key):
    answer = send(client, support_key, [{"occurred_at": moment(), "model": "m"}, {"event_id": ""}, {"event_id": None}])
    assert [(bad["field"], bad["code"]) for bad in answer.json()["rejected"]] == [
        ("event_id", "missing"),
        ("event_id", "too_short"),
        ("event_id", "wrong_type"),
    ]


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"input_tokens": 10, "cached_input_tokens": 11}, "cached_input_tokens"),
        ({"input_tokens": 10, "cached_input_tokens": 6, "cache_write_tokens": 5}, "cached_input_tokens"),
        ({"output_tokens": 10, "reasoning_tokens": 11}, "reasoning_tokens"),
    ],
)
def test_parts_may_not_exceed_their_whole(client, support_key, parts, field):
    bad = rejection(client, support_key, **parts)
    assert (bad["field"], bad["code"]) == (field, "more_than_whole")


def test_parts_without_a_whole_are_kept(client, support_key):
    assert send(client, support_key, event(cached_input_tokens=11, reasoning_tokens=3)).json()["accepted"] == 1


@pytest.mark.parametrize(("sent", "kept"), [(12.0, 12), (0, 0), (1_000_000_000, 1_000_000_000), (None, None)], ids=str)
def test_counts_it_takes(client, support_key, sent, kept):
    assert send(client, support_key, event(input_tokens=sent)).status_code == 202
    assert stored().input_tokens == kept


def test_milliseconds_with_a_fraction_are_rounded(client, support_key):
    send(client, support_key, event(latency_ms=1234.56, ttft_ms=0.2, queue_ms=7))
    assert (stored().latency_ms, stored().ttft_ms, stored().queue_ms) == (1235, 0, 7)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
@pytest.mark.parametrize("field", ["latency_ms", "top_score", "input_tokens", "reported_cost_usd"])
def test_nan_is_rejected_for_that_event_alone(client, support_key, number, field):
    bad = raw(client, support_key, b'"%s": %s' % (field.encode(), number))
    assert (bad["index"], bad["field"], bad["code"], bad["event_id"]) == (1, field, "not_a_number", "e1")


def test_nan_inside_a_text_is_a_text(client, support_key):
    assert raw(client, support_key, b'"feature": "NaN \\" Infinity", "tenant": "NaN", "unknown": [NaN]') is not None
    assert raw(client, support_key, b'"feature": "NaN \\" Infinity", "tenant": "NaN", "unknown": "x"', "e2") is None
    assert stored("e2").tenant == "NaN"


@pytest.mark.parametrize("field", ["event_id", "feature", "tenant", "unknown", "stop_reason"])
@pytest.mark.parametrize(
    ("text", "code"),
    [(b"a\\u0000b", "nul_character"), (b"\\ud800", "lone_surrogate"), (b"x\\udfffy", "lone_surrogate")],
)
def test_characters_that_cannot_be_stored_are_rejected(client, support_key, field, text, code):
    bad = raw(client, support_key, b'"%s": "%s"' % (field.encode(), text))
    assert bad["code"] == code
    assert bad["field"] == ("attributes.unknown" if field == "unknown" else field)


def test_a_nul_in_the_name_of_an_unknown_field_is_rejected(client, support_key):
    assert raw(client, support_key, b'"a\\u0000b": 1')["code"] == "nul_character"


def test_a_surrogate_pair_and_its_look_alike_are_texts(client, support_key):
    assert raw(client, support_key, b'"tenant": "\\ud83d\\ude00 \\\\ud800", "x": NaN') is not None
    assert raw(client, support_key, b'"tenant": "\\ud83d\\ude00 \\\\ud800"', "e2") is None
    assert stored("e2").tenant == "😀 \\ud800"


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ("2026-01-31T09:30:00", "no_time_zone"),
        ("2026-01-31", "no_time_zone"),
        ("yesterday", "invalid_time"),
        (1_700_000_000, "invalid_time"),
        ("2000-01-01T00:00:00Z", "too_old"),
        ("0001-01-01T00:00:00+14:00", "too_old"),
        ("9999-12-31T23:59:59-14:00", "in_the_future"),
    ],
)
def test_a_time_that_cannot_be_taken_is_rejected_with_the_reason(client, support_key, at, code):
    bad = rejection(client, support_key, occurred_at=at)
    assert (bad["field"], bad["code"]) == ("occurred_at", code)
    assert bad["fix"]


def test_the_limits_of_time_are_named(client, support_key, settings):
    oldest = datetime.now(UTC) - timedelta(days=settings.RAW_RETENTION_DAYS)
    assert f"{oldest:%Y-%m-%d}" in rejection(client, support_key, occurred_at="2000-01-01T00:00:00Z")["fix"]


def test_late_and_slightly_early_events_are_taken(client, support_key, settings):
    times = [moment(hours=2), moment(days=settings.RAW_RETENTION_DAYS, seconds=-60), moment(minutes=-4)]
    events = [event(str(number), occurred_at=at) for number, at in enumerate(times)]
    assert send(client, support_key, events).json()["accepted"] == 3
    assert rejection(client, support_key, occurred_at=moment(minutes=-6))["code"] == "in_the_future"


def test_an_offset_is_converted(client, support_key):
    at = datetime.now(UTC).replace(microsecond=123456) - timedelta(hours=3)
    local = (at + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.123456+02:00")
    assert send(client, support_key, event(occurred_at=local)).status_code == 202
    assert stored().occurred_at == at


def test_unknown_fields_are_kept_under_attributes(client, support_key):
    send(client, support_key, event(color="red", deep={"a": [1, {"b": None}]}, attributes={"own": 1, "color": "blue"}))
    assert stored().detail == {"attributes": {"color": "blue", "deep": {"a": [1, {"b": None}]}, "own": 1}}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({f"field{number}": 1 for number in range(51)}, "too_many_attributes"),
        ({"attributes": {f"field{number}": 1 for number in range(51)}}, "too_many_attributes"),
        ({"n" * 101: 1}, "name_too_long"),
        ({"long": "x" * 9000}, "attributes_too_large"),
        ({"attributes": {"long": "x" * 9000}}, "attributes_too_large"),
        ({"attributes": {"long": "x" * 900_000}}, "attributes_too_large"),
        ({"long": "x" * 900_000}, "attributes_too_large"),
        ({"deep": [[[[[1]]]]]}, "too_deep"),
        ({"attributes": {"deep": {"a": {"b": {"c": {"d": {}}}}}}}, "too_deep"),
    ],
)
def test_attributes_are_bounded(client, support_key, fields, code):
    bad = rejection(client, support_key, **fields)
    assert bad["code"] == code
    assert bad["field"].startswith("attributes")


def test_a_number_beyond_a_double_is_rejected(client, support_key):
    assert raw(client, support_key, b'"huge": 1e999')["field"] == "attributes.huge"
    assert raw(client, support_key, b'"latency_ms": 1e999')["field"] == "latency_ms"


def test_deep_json_is_rejected_without_a_crash(client, support_key):
    deep = b"[" * 700 + b"]" * 700
    assert raw(client, support_key, b'"deep": %s' % deep)["code"] in ("too_deep", "invalid")


def test_the_key_fills_in_the_environment_and_no_other_is_taken(client, cast):
    _, key = make_key(cast.support, "ingest", environment="prod")
    answer = send(client, key, [event("a"), event("b", environment="prod"), event("c", environment="dev")])
    assert answer.json()["accepted"] == 2
    assert answer.json()["rejected"][0]["code"] == "wrong_environment"


def test_null_means_not_given(client, support_key):
    fields = dict.fromkeys(["team", "status", "model", "input_tokens", "tenant", "attributes", "feedback", "refused"])
    assert send(client, support_key, event(**fields)).status_code == 202
    assert (stored().tenant, stored().input_tokens, stored().detail) == (None, None, None)
