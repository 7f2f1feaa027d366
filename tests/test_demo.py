"""The demo generator: repeatable, breathing, keeping the field rules, and its stories really there."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from statistics import mean, median

import msgspec
import pytest
from genai_prices import Usage, calc_price

from accounts.demo import DEMO_TEAMS
from usage.demo import stories
from usage.demo.cast import EMBEDDING, FEATURES, MODELS, TEAMS, TENANTS
from usage.demo.changes import CHANGES, markers, version
from usage.demo.hours import events_between, events_of_hour
from usage.demo.rhythm import home_shift
from usage.ingest.checks import Window, event_problem
from usage.ingest.shape import Event

END = datetime(2026, 11, 18, 9, 24, tzinfo=UTC)
START = END - timedelta(days=30)
STATUSES = {"success", "error", "blocked", "fallback", "cancelled"}
ERRORS = {
    "timeout", "rate_limit", "provider_5xx", "provider_4xx", "auth", "content_policy", "context_length", "tool_failure",
    "retrieval_empty", "schema_invalid", "cancelled", "network", "other",
}  # fmt: skip


def at(event: dict) -> datetime:
    return datetime.fromisoformat(event["occurred_at"])


def named(name: str):
    return next(feature for feature in FEATURES if feature.name == name)


def story_events(made: list[dict], story: stories.Story, **like) -> list[dict]:
    start, end = story.span(END)
    return [e for e in made if start <= at(e) < end and all(e.get(name) == value for name, value in like.items())]


def quiet_events(made: list[dict], story: stories.Story, **like) -> list[dict]:
    """The same hours of the other days that no story touches."""
    start, end = story.span(END)
    days = [timedelta(days=days) for days in (-7, -8, -12, -14, -15, -16)]
    spans = [(start + shift, end + shift) for shift in days]
    return [
        e
        for e in made
        if any(low <= at(e) < high for low, high in spans) and all(e.get(name) == value for name, value in like.items())
    ]


@pytest.fixture(scope="module")
def made() -> list[dict]:
    return [event for team in TEAMS for event in events_between(START, END, END, team=team)]


def test_it_makes_a_month_of_all_four_teams(made):
    assert 150_000 < len(made) < 260_000
    assert set(TEAMS) == set(DEMO_TEAMS)
    assert {event["feature"] for event in made} == {feature.name for feature in FEATURES}
    assert min(map(at, made)) >= START - timedelta(minutes=2) and max(map(at, made)) < END
    assert len({event["event_id"] for event in made}) == len(made)


def test_any_hour_can_be_made_alone_and_is_the_same(made):
    hour = END.replace(minute=0) - timedelta(days=3)
    alone = events_of_hour(hour, END, feature=named("answer-drafting"))
    by_id = {event["event_id"]: event for event in made}
    assert len(alone) > 10
    assert all(by_id[event["event_id"]] == event for event in alone)


def test_another_seed_makes_another_hour():
    hour = END.replace(minute=0)
    one = events_of_hour(hour, END, feature=named("code-completion"))
    assert one != events_of_hour(hour, END, feature=named("code-completion"), seed="other")


def test_it_never_shows_an_event_that_is_not_over():
    for minutes in (1, 17, 42):
        now = END + timedelta(minutes=minutes)
        for event in events_between(END, now, END, team="support"):
            assert END <= at(event) + timedelta(milliseconds=event["latency_ms"]) < now


def test_windows_side_by_side_make_every_event_once():
    middle = END - timedelta(minutes=37)
    start = END - timedelta(hours=3)
    ids = [
        e["event_id"]
        for low, high in ((start, middle), (middle, END))
        for e in events_between(low, high, END, team="search")
    ]
    assert sorted(ids) == sorted(e["event_id"] for e in events_between(start, END, END, team="search"))


def test_every_event_keeps_the_field_rules(made):
    for event in made:
        assert event["status"] in STATUSES
        assert ("error_type" in event) == (event["status"] in ("error", "blocked", "cancelled"))
        assert event.get("error_type", "other") in ERRORS
        tokens = event.get("input_tokens", 0)
        assert event.get("cached_input_tokens", 0) + event.get("cache_write_tokens", 0) <= tokens
        assert event.get("reasoning_tokens", 0) <= event.get("output_tokens", 0)
        assert 0 <= event["latency_ms"] < 600_000
        assert event.get("ttft_ms", 0) <= event["latency_ms"]
        assert event.get("context_tokens", 0) >= 0
        assert len(event["event_id"]) <= 200
        assert at(event).tzinfo is not None
        assert None not in event.values()


def test_the_ingest_takes_every_event(made):
    window = Window(START - timedelta(days=1), END)
    for event in msgspec.convert(made, list[Event]):
        assert event_problem(event, "support") is None
        assert window.problem(event.occurred_at) is None


def test_every_request_has_one_entry_that_spans_its_stages(made):
    day = [event for event in made if END - timedelta(days=1) < at(event) < END - timedelta(hours=2)]
    entries = {event["trace_id"]: event for event in day if "parent_span_id" not in event}
    for event in day:
        if "parent_span_id" in event and event["trace_id"] in entries:
            entry = entries[event["trace_id"]]
            assert event["parent_span_id"] == entry["span_id"]
            assert at(entry) <= at(event)
            ended = at(event) + timedelta(milliseconds=event["latency_ms"])
            assert ended <= at(entry) + timedelta(milliseconds=entry["latency_ms"] + 1)
    stages = Counter(event["operation"] for event in day)
    assert stages.keys() >= {"gateway", "invoke_agent", "retrieval", "chat", "execute_tool", "guardrail", "embeddings"}


def test_traffic_breathes_by_day_and_by_week(made):
    shift = home_shift(END)
    entries = [at(event) + shift for event in made if "parent_span_id" not in event]
    by_day = Counter(moment.date() for moment in entries)
    working = mean(count for day, count in by_day.items() if day.weekday() < 5)
    weekend = mean(count for day, count in by_day.items() if day.weekday() >= 5)
    assert weekend < 0.75 * working
    office = Counter(m.hour for e in made if e["feature"] == "answer-drafting" and (m := at(e) + shift).weekday() < 5)
    assert office[10] > 3 * office[3]
    assert home_shift(END) + END >= END.replace(hour=14, minute=0)


def test_conversations_have_turns_and_feedback_is_rare(made):
    turns = Counter(e["conversation_id"] for e in made if "conversation_id" in e and "parent_span_id" not in e)
    assert max(turns.values()) >= 4
    entries = [event for event in made if "parent_span_id" not in event and event["initiator"] == "user"]
    assert 0.01 < sum("feedback" in event for event in entries) / len(entries) < 0.04


def test_tenants_follow_zipf_and_users_are_hashes(made):
    count = Counter(event["tenant"] for event in made if "tenant" in event and "parent_span_id" not in event)
    assert len(count) == len(TENANTS)
    assert count["northwind"] > 1.5 * count["acme-retail"] > 2 * count["planet-express"]
    assert all(len(event["user_hash"]) == 64 for event in made if "user_hash" in event)


def test_every_model_has_a_catalogue_price_but_the_one_that_must_not():
    for provider, name in [(model.provider, model.name) for model in MODELS.values()] + [EMBEDDING]:
        usage = Usage(input_tokens=1000, output_tokens=100)
        if provider == "vllm":
            with pytest.raises(LookupError):
                calc_price(usage, model_ref=name, provider_id=provider)
        else:
            assert calc_price(usage, model_ref=name, provider_id=provider).total_price > 0


def test_some_spend_has_no_cost_centre(made):
    untagged = {event["feature"] for event in made if "cost_center" not in event}
    assert untagged == {"email-copy", "docs-chat"}


def test_the_outage_fails_one_provider_and_falls_back_to_another(made):
    calls = story_events(made, stories.OUTAGE, operation="chat")
    openai = [event for event in calls if event["provider"] == "openai"]
    others = [event for event in calls if event["provider"] != "openai"]
    assert len(openai) > 15
    assert sum(event["status"] == "error" for event in openai) / len(openai) > 0.2
    assert sum(event["status"] == "error" for event in others) / len(others) < 0.08
    assert mean(event["retry_count"] for event in openai) > 0.8
    fallbacks = [event for event in calls if event["status"] == "fallback"]
    assert {event["provider"] for event in fallbacks} == {"anthropic"}
    assert {event["error_type"] for event in openai if event["status"] == "error"} >= {"timeout", "provider_5xx"}
    before = quiet_events(made, stories.OUTAGE, operation="chat")
    assert sum(event["status"] == "fallback" for event in before) / len(before) < 0.02 < len(fallbacks) / len(calls)


def test_the_prompt_change_bloats_the_tokens_of_one_feature_until_its_rollback(made):
    like = {"operation": "chat", "feature": stories.BLOAT_FEATURE, "status": "success"}
    bloated, normal = story_events(made, stories.BLOAT, **like), quiet_events(made, stories.BLOAT, **like)
    ratio = mean(e["input_tokens"] for e in bloated) / mean(e["input_tokens"] for e in normal)
    assert ratio == pytest.approx(stories.BLOAT_FACTOR, rel=0.1)
    assert {event["prompt_version"] for event in bloated} == {"v14"}
    versions = {
        e["prompt_version"] for e in made if e["feature"] == stories.BLOAT_FEATURE and at(e) > END - timedelta(days=6.9)
    }
    assert versions == {"v13", "v15"}
    other = {"operation": "chat", "feature": "answer-box", "status": "success"}
    same = mean(e["input_tokens"] for e in story_events(made, stories.BLOAT, **other))
    assert same == pytest.approx(mean(e["input_tokens"] for e in quiet_events(made, stories.BLOAT, **other)), rel=0.1)


def test_the_retrieval_failure_leaves_model_latency_alone(made):
    like = {"feature": "answer-box"}
    failing, normal = story_events(made, stories.RETRIEVAL, **like), quiet_events(made, stories.RETRIEVAL, **like)

    def of(events: list[dict], operation: str, name: str) -> list:
        return [event[name] for event in events if event["operation"] == operation and name in event]

    empty = [documents == 0 for documents in of(failing, "retrieval", "documents")]
    assert len(empty) > 40
    assert mean(empty) == pytest.approx(stories.RETRIEVAL_EMPTY, abs=0.12)
    assert mean(documents == 0 for documents in of(normal, "retrieval", "documents")) < 0.03
    assert max(of(failing, "retrieval", "top_score")) < min(0.4, median(of(normal, "retrieval", "top_score")))
    assert mean(of(failing, "chat", "citations")) < 0.1 < 1.5 < mean(of(normal, "chat", "citations"))
    assert median(of(failing, "chat", "latency_ms")) == pytest.approx(median(of(normal, "chat", "latency_ms")), rel=0.2)
    turns = [Counter(e["conversation_id"] for e in events if "parent_span_id" not in e) for events in (failing, normal)]
    assert mean(turns[0].values()) > 1.3 * mean(turns[1].values())
    assert {event["index_version"] for event in failing if "index_version" in event} >= {"web-307"}


def test_the_last_hour_is_alive_and_healthy_but_for_one_tenant(made):
    last = [e for e in made if at(e) > END - timedelta(minutes=50) and "parent_span_id" not in e]
    assert len(last) > 60
    failed = [event for event in last if event["status"] == "error"]
    assert len(failed) / len(last) < 0.06
    calls = [e for e in made if at(e) > END - timedelta(minutes=50) and e.get("tenant") == stories.BLEMISH_TENANT]
    assert any(event.get("error_type") == "rate_limit" for event in calls)


@pytest.mark.parametrize("hour", range(0, 24, 5))
def test_the_last_hour_is_alive_whenever_the_demo_starts(hour):
    end = datetime(2026, 11, 21, hour, 3, tzinfo=UTC)
    entries = [
        event
        for team in TEAMS
        for event in events_between(end - timedelta(hours=1), end, end, team=team)
        if "parent_span_id" not in event
    ]
    assert len(entries) > 50


def test_markers_match_the_versions_on_events(made):
    for change, marker in zip(CHANGES, markers(END), strict=True):
        assert marker["at"] == END + change.offset
        assert marker["team"] in TEAMS
        if change.kind in ("deploy", "prompt", "retrieval"):
            assert version(change.kind, change.subject, change.offset) == change.ref
            assert version(change.kind, change.subject, change.offset - timedelta(seconds=1)) != change.ref
    kinds = {change.kind for change in CHANGES}
    assert kinds == {"deploy", "prompt", "model", "retrieval", "flag"}
    after = [e for e in made if e["service"] == "search-api" and at(e) > END - timedelta(days=4.8)]
    assert {event["release"] for event in after} == {"7.4.0"}
