"""Events, traces and conversations over HTTP."""

from datetime import timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from tests.traffic import event, record
from usage.actions import record_events
from usage.queries.events import PAGE
from usage.queries.recent import recent
from usage.rollups import drain
from usage.scope import Scope

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def vera(client, cast):
    """A client signed in as a viewer of support."""
    client.force_login(cast.vera)
    return client


def text(response) -> str:
    assert response.status_code == 200
    return response.content.decode()


def record_trace(team, at, trace_id="trace-1"):
    """A request: gateway → (retrieval, chat, execute_tool, chat), the second chat without a price."""
    common = {"trace_id": trace_id, "conversation_id": "conv-1", "tenant": "acme"}
    stages = [
        event(at, span_id="root", operation="invoke_agent", model=None, provider=None, input_tokens=None,
              cached_input_tokens=None, output_tokens=None, latency_ms=1000, **common),
        event(at, span_id="a", parent_span_id="root", operation="retrieval", model=None, provider=None,
              input_tokens=None, cached_input_tokens=None, output_tokens=None, latency_ms=100, documents=4, **common),
        event(at + timedelta(milliseconds=100), span_id="b", parent_span_id="root", latency_ms=400, **common),
        event(at + timedelta(milliseconds=500), span_id="c", parent_span_id="b", operation="execute_tool",
              tool_name="order_lookup", model=None, provider=None, input_tokens=None, cached_input_tokens=None,
              output_tokens=None, latency_ms=50, **common),
        event(at + timedelta(milliseconds=600), span_id="d", parent_span_id="root", model="nobody-knows-1",
              provider="vllm", latency_ms=400, **common),
    ]  # fmt: skip
    assert record_events(team=team, environment="", api_key_id=None, events=stages).accepted == 5
    return stages


def test_events_are_listed_newest_first_and_paged_without_loss(vera, cast):
    at = timezone.now() - timedelta(hours=3)
    sent = record(cast.support, at, PAGE + 7)
    seen, url = [], "/events/"
    while url:
        response = vera.get(url)
        seen += [row[0].event_id for row in response.context["events"]]
        url = response.context["older_url"] and f"/events/{response.context['older_url']}"
    assert seen == [one["event_id"] for one in reversed(sent)]


@pytest.mark.parametrize("drained", [True, False], ids=["drained", "not yet rolled up"])
def test_filters_find_what_the_rollups_know_and_what_they_do_not_yet(vera, cast, drained):
    now = timezone.now()
    record(cast.support, now - timedelta(days=3), 2, status="error", error_type="timeout")
    record(cast.support, now - timedelta(minutes=5), 3)
    record(cast.support, now - timedelta(minutes=5), 1, tenant="acme", status="error", error_type="rate_limit")
    if drained:
        drain()
    counts = {
        query: len(vera.get(f"/events/?range=7d&{query}").context["events"])
        for query in (
            "status=error",
            "error_type=timeout",
            "tenant=acme",
            "status=fallback",
            "tenant=acme&status=error",
        )
    }
    assert counts == {
        "status=error": 3, "error_type=timeout": 2, "tenant=acme": 1, "status=fallback": 0,
        "tenant=acme&status=error": 1,
    }  # fmt: skip


def test_a_rare_event_is_found_with_few_queries(vera, cast, django_assert_max_num_queries):
    now = timezone.now()
    record(cast.support, now - timedelta(days=25), 1, feature="rare")
    record(cast.support, now - timedelta(days=1), 30)
    drain()
    with django_assert_max_num_queries(25):
        assert len(vera.get("/events/?range=30d&feature=rare").context["events"]) == 1


def test_a_page_reaches_back_over_the_whole_window(vera, cast):
    now = timezone.now()
    ages = [timedelta(hours=hours) for hours in (1, 11, 13, 40, 90, 400, 700)]
    sent = [record(cast.support, now - age, 1)[0]["event_id"] for age in ages]
    drain()
    assert [row[0].event_id for row in vera.get("/events/?range=30d").context["events"]] == sent
    assert [row[0].event_id for row in vera.get("/events/?range=30d&feature=answers").context["events"]] == sent


def test_of_a_busy_day_only_the_newest_hours_are_read_event_by_event(cast, monkeypatch):
    now = timezone.now()
    for hours, count in ((1, 4), (3, 4), (5, 4)):
        record(cast.support, now - timedelta(hours=hours), count)
    drain()
    scope = Scope(now - timedelta(days=7), now, ZoneInfo("UTC"), (cast.support,))
    assert recent(scope) == scope.last(timedelta(days=1))
    monkeypatch.setattr("usage.queries.recent.EVENTS", 9)
    assert recent(scope).start == (now - timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    monkeypatch.setattr("usage.queries.recent.EVENTS", 1)
    assert recent(scope).start == (now - timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)


def test_unpriced_calls_can_be_listed(vera, cast):
    record(cast.support, timezone.now() - timedelta(minutes=1), 2, model="nobody-knows-1", provider="vllm")
    record(cast.support, timezone.now() - timedelta(minutes=1), 1)
    drain()
    response = vera.get("/events/?cost=unpriced")
    assert len(response.context["events"]) == 2
    assert "unpriced" in text(response)


def test_a_trace_shows_every_round_in_tree_order_with_known_and_unknown_cost(vera, cast):
    record_trace(cast.support, timezone.now() - timedelta(minutes=5))
    response = vera.get("/traces/support/trace-1")
    page = text(response)
    order = [(stage.event.span_id, stage.depth) for stage, _ in response.context["stages"]]
    assert order == [("root", 0), ("a", 1), ("b", 1), ("c", 2), ("d", 1)]
    assert response.context["trace"].totals.unknown == 1
    assert response.context["trace"].duration_ms == 1000
    assert "order_lookup" in page
    assert "4 documents" in page


@pytest.mark.parametrize("days", [0, 9, "nonsense"], ids=["near", "far off", "nonsense"])
def test_a_trace_is_found_whatever_time_its_link_names(vera, cast, days):
    at = timezone.now() - timedelta(minutes=5)
    record_trace(cast.support, at)
    named = days if isinstance(days, str) else (at - timedelta(days=days)).isoformat()
    assert len(vera.get("/traces/support/trace-1", {"at": named}).context["stages"]) == 5


def test_a_trace_whose_spans_point_in_a_circle_is_still_shown_whole(vera, cast):
    at = timezone.now() - timedelta(minutes=1)
    circle = [event(at, trace_id="t", span_id=a, parent_span_id=b) for a, b in (("x", "y"), ("y", "x"), ("z", "z"))]
    record_events(team=cast.support, environment="", api_key_id=None, events=circle)
    assert len(vera.get("/traces/support/t").context["stages"]) == 3


def test_a_conversation_lists_its_turns_in_order(vera, cast):
    now = timezone.now()
    record_trace(cast.support, now - timedelta(minutes=9), "turn-2")
    record_trace(cast.support, now - timedelta(minutes=20), "turn-1")
    response = vera.get("/conversations/support/conv-1")
    assert [turn.entry.trace_id for turn, _ in response.context["turns"]] == ["turn-1", "turn-2"]
    assert response.context["totals"].stages == 10


@pytest.mark.parametrize("name", ["trace_id", "conversation_id"])
def test_searching_a_trace_or_conversation_goes_there(vera, cast, name):
    (stage, *_) = record_trace(cast.support, timezone.now() - timedelta(days=20))
    response = vera.get("/events/", {"q": stage[name]})
    assert response.status_code == 302
    assert stage[name] in response["Location"]


@pytest.mark.parametrize("name", ["event_id", "request_id", "span_id", "session_id", "user_hash"])
def test_any_other_id_lists_its_events(vera, cast, name):
    record(cast.support, timezone.now() - timedelta(minutes=1), 5)
    (sent,) = record(
        cast.support, timezone.now() - timedelta(minutes=1), 1,
        request_id="req-1", span_id="span-1", session_id="sess-1", user_hash="user-1",
    )  # fmt: skip
    found = vera.get("/events/", {"q": sent[name]}).context["events"]
    assert [row[0].event_id for row in found] == [sent["event_id"]]


def test_searching_a_model_filters_by_it(vera, cast):
    record(cast.support, timezone.now(), 1)
    assert vera.get("/events/", {"q": "gpt-4o"})["Location"] == "/events/?model=gpt-4o"


def test_an_event_page_shows_every_field_and_unknown_attributes(vera, cast):
    at = timezone.now() - timedelta(minutes=1)
    (sent,) = record(cast.support, at, 1, region="eu-west", prompt_hash="abc123", shoe_size=44)
    (row,) = vera.get("/events/").context["events"]
    page = text(vera.get(row[2]))
    for value in (sent["event_id"], "eu-west", "abc123", "shoe_size", "44", "0.00325"):
        assert value in page


def test_a_hostile_name_is_only_text(vera, cast):
    record(cast.support, timezone.now(), 1, feature="<script>alert(1)</script>", trace_id="<svg onload=x>")
    assert "<script>alert" not in text(vera.get("/events/"))
    assert "<svg onload" not in text(vera.get(f"/traces/support/{quote('<svg onload=x>')}"))


def test_a_strangers_events_are_not_there(vera, cast):
    stages = record_trace(cast.search, timezone.now() - timedelta(minutes=5))
    assert vera.get("/events/").context["events"] == []
    assert vera.get("/events/", {"q": "trace-1"}).context["events"] == []
    assert vera.get("/events/?team=search").status_code == 404
    assert vera.get("/traces/search/trace-1").status_code == 404
    assert vera.get("/traces/support/trace-1").status_code == 404
    assert vera.get("/conversations/search/conv-1").status_code == 404
    assert vera.get("/events/search/", {"at": stages[0]["occurred_at"], "id": stages[0]["event_id"]}).status_code == 404


@pytest.mark.parametrize(
    "query",
    ["after=nonsense", "after=~", "from=yesterday", "from=2026-01-02&to=2026-01-01", "range=9y", "tenant=%00", "q=%00",
     "from=2026-01-01T00:00%2B02:00", "compare=x", "status=%F0%9F%98%80"],
)  # fmt: skip
def test_odd_parameters_never_break_the_page(vera, cast, query):
    assert vera.get(f"/events/?{query}").status_code == 200
