"""GET /api/v1/metrics and /api/v1/spend: own team only, exact money, unknown is null, errors say what to do."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.cast import bearer, make_key
from tests.traffic import record
from usage import partitions
from usage.metrics import CATALOGUE
from usage.models import UsageEvent
from usage.rollups import drain

pytestmark = pytest.mark.django_db


@pytest.fixture
def read(client, cast):
    """Read an endpoint as team support; returns the response."""
    headers = bearer(make_key(cast.support, "read")[1])
    return lambda path, **query: client.get(f"/api/v1/{path}", query, headers=headers)


@pytest.fixture
def traffic(cast):
    """Three answers, one search and two unpriced calls of support an hour ago; one call of search; one a day before."""
    now = timezone.now()
    partitions.ensure(now)
    at = now - timedelta(hours=1)
    record(cast.support, at, 3), record(cast.support, at, feature="search", tenant="acme")
    record(cast.support, at, 2, feature="lab", model="our-own-llm")
    record(cast.search, at, feature="secret")
    record(cast.support, at - timedelta(days=1), feature="search")
    drain()
    return now


def exact_cost(team, **filters) -> Decimal:
    costs = UsageEvent.objects.filter(team_id=team.pk, **filters).values_list("cost_usd", flat=True)
    return sum((cost for cost in costs if cost is not None), Decimal(0))


def test_it_answers_with_exact_money_and_null_for_unknown(read, cast, traffic):
    body = read("metrics", metric="cost_usd,requests", group_by="feature").json()
    rows = {row["group"]["feature"]: row for row in body["rows"]}
    recent = {"occurred_at__gte": traffic - timedelta(hours=2)}
    assert sum(Decimal(row["values"]["cost_usd"] or 0) for row in body["rows"]) == exact_cost(cast.support, **recent)
    assert rows["lab"]["values"] == {"cost_usd": None, "requests": 2}
    assert rows["lab"]["unknown"] == {"unpriced_calls": 2, "unmetered_calls": 0}
    assert isinstance(rows["answers"]["values"]["cost_usd"], str)
    assert [metric["unit"] for metric in body["metrics"]] == ["USD", "count"]
    assert body["rows"][-1]["group"] == {"feature": "lab"}  # unknown ranks last


def test_a_key_reads_its_own_team_only(read, traffic):
    body = read("metrics", metric="requests", group_by="feature").json()
    assert "secret" not in str(body)
    assert read("metrics", metric="requests", team="search").status_code == 404
    assert read("metrics", metric="requests", team="support").status_code == 200
    assert read("spend", team="search").status_code == 404


def test_other_scopes_and_strangers_are_refused(client, cast):
    wrong = client.get("/api/v1/metrics", headers=bearer(make_key(cast.support, "ingest")[1]))
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (403, "wrong_scope")
    assert client.get("/api/v1/spend").status_code == 401


def test_steps_have_every_bucket_and_a_zone(read, traffic):
    start = (traffic - timedelta(hours=3)).isoformat()
    body = read("metrics", metric="requests", step="hour", start=start, tz="Europe/Berlin").json()
    assert [row["at"][-6:] for row in body["rows"]] == ["00:00Z"] * len(body["rows"])
    assert len(body["rows"]) == 4 and sum(row["values"]["requests"] for row in body["rows"]) == 6
    assert body["window"]["step"] == "hour" and body["window"]["tz"] == "Europe/Berlin"


def test_it_compares_with_the_period_before(read, traffic):
    body = read("metrics", metric="requests", group_by="feature", compare="previous").json()
    rows = {row["group"]["feature"]: row for row in body["rows"]}
    assert rows["search"]["previous"]["values"] == {"requests": 1}
    assert body["previous_window"]["end"] <= body["window"]["start"]


def test_filters_order_and_limit(read, traffic):
    body = read("metrics", metric="requests", group_by="feature", order="requests", limit="1").json()
    assert body["groups_total"] == 3 and [row["group"]["feature"] for row in body["rows"]] == ["search"]
    only = read("metrics", metric="requests", tenant="acme").json()
    assert only["rows"][0]["values"] == {"requests": 1}


@pytest.mark.parametrize(
    ("query", "field", "word"),
    [
        ({}, "metric", "latency_p95"),
        ({"metric": "profit"}, "metric", "Known metrics"),
        ({"metric": "requests", "group_by": "colour"}, "group_by", "Known"),
        ({"metric": "requests", "group_by": "tenant,release"}, "group_by", "Combine tenant"),
        ({"metric": "requests", "start": "yesterday"}, "start", "2026-01-31T14:00:00Z"),
        ({"metric": "requests", "start": "2026-01-31T14:00:00"}, "start", "Append Z"),
        ({"metric": "requests", "start": "1200-01-31T14:00:00Z"}, "start", "2000"),
        ({"metric": "requests", "end": "2026-01-31T14:00:00Z", "start": "2026-02-01T00:00:00Z"}, "end", ""),
        ({"metric": "requests", "step": "year"}, "step", "month"),
        ({"metric": "requests", "step": "minute", "start": "2001-01-31T14:00:00Z"}, "step", "wider step"),
        ({"metric": "requests", "tz": "Mars/Base"}, "tz", "Europe/Berlin"),
        ({"metric": "requests", "tz": "../../etc/passwd"}, "tz", "Europe/Berlin"),
        ({"metric": "requests", "compare": "later"}, "compare", "previous"),
        ({"metric": "requests", "limit": "0"}, "limit", "10000"),
        ({"metric": "requests", "order": "cost_usd"}, "order", "requests"),
        ({"metric": "requests", "feature": "a\0b"}, "filters", "Leave it out"),
    ],
)
def test_a_bad_question_is_400_with_field_and_fix(read, query, field, word):
    response = read("metrics", **query)
    error = response.json()["error"]
    assert response.status_code == 400
    assert (error["code"], error["field"]) == ("invalid", field)
    assert word in error["fix"]


def test_every_metric_answers(read, traffic):
    for names in (list(CATALOGUE)[:30], list(CATALOGUE)[30:]):
        response = read("metrics", metric=",".join(names), group_by="model", step="hour")
        assert response.status_code == 200
        assert set(response.json()["rows"][0]["values"]) == set(names)


def test_spend_adds_up_and_says_why_it_changed(read, traffic):
    start = (traffic - timedelta(hours=2)).isoformat()
    body = read("spend", group_by="feature", start=start, compare="week", limit="1").json()
    parts = [*body["rows"], body["rest"]]
    assert sum(Decimal(part["spend_usd"] or 0) for part in parts) == Decimal(body["total"]["spend_usd"])
    assert body["groups_total"] == 3 and body["total"]["unknown"]["unpriced_calls"] == 2
    effects = {name: Decimal(value) for name, value in body["total"]["effects"].items()}
    change = Decimal(body["total"]["spend_usd"]) - Decimal(body["total"]["previous"]["spend_usd"])
    assert effects["volume_usd"] + effects["tokens_usd"] + effects["price_usd"] == effects["change_usd"] == change


def test_spend_without_a_tenant_is_a_group(read, cast, traffic):
    start = (traffic - timedelta(hours=2)).isoformat()
    body = read("spend", group_by="tenant,feature", start=start).json()
    groups = {(row["group"]["tenant"], row["group"]["feature"]): row for row in body["rows"]}
    assert groups["acme", "search"]["requests"] == 1
    assert groups["(none)", "answers"]["requests"] == 3
    recent = {"occurred_at__gte": traffic - timedelta(hours=2)}
    assert Decimal(body["total"]["spend_usd"]) == exact_cost(cast.support, **recent)


def test_the_endpoints_are_named():
    assert reverse("api-metrics") == "/api/v1/metrics" and reverse("api-spend") == "/api/v1/spend"


def test_events_without_a_tenant_can_be_asked_for(client, cast, support_key):
    at = timezone.now() - timedelta(minutes=5)
    record(cast.support, at, 3, tenant=None, conversation_id="a"), record(cast.support, at, 2, tenant="acme")
    drain()
    asked = {"metric": "calls,cost_usd,latency_p50,conversations", "tenant": "(none)", "group_by": "model"}
    (row,) = client.get(reverse("api-metrics"), asked, headers=bearer(support_key)).json()["rows"]
    assert (row["values"]["calls"], row["values"]["conversations"]) == (3, 1)
    assert row["values"]["latency_p50"] == pytest.approx(800, rel=0.02) and Decimal(row["values"]["cost_usd"]) > 0
    asked |= {"group_by": "release"}
    assert client.get(reverse("api-metrics"), asked, headers=bearer(support_key)).status_code == 400


def test_figures_of_empty_minutes_have_the_type_of_the_others(client, cast, support_key):
    record(cast.support, timezone.now() - timedelta(minutes=5), 3)
    drain()
    start = (timezone.now() - timedelta(minutes=20)).isoformat()
    asked = {"metric": "cost_usd,cost_per_hour,requests,requests_per_minute", "step": "minute", "start": start}
    rows = client.get(reverse("api-metrics"), asked, headers=bearer(support_key)).json()["rows"]
    kinds = {name: {type(row["values"][name]) for row in rows} for name in rows[0]["values"]}
    assert kinds == {"cost_usd": {str}, "cost_per_hour": {str}, "requests": {int}, "requests_per_minute": {str}}
