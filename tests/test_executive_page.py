"""The executive view over HTTP, with events recorded through the real ingest."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.test_forecast_making import make as make_budget
from tests.test_forecast_making import used_for
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)


def get(client, path="/executive/"):
    answer = client.get(path)
    assert answer.status_code == 200, answer.content[:500]
    return answer.content.decode()


@pytest.fixture
def traffic(cast):
    """Of just now, which is this month's on the first of a month too."""
    now = timezone.now()
    record(cast.support, now, 98)
    record(cast.support, now, 2, status="error", error_type="timeout")
    record(cast.search, now, 10, model="own-model", provider="vllm")
    drain()


def test_without_events_it_shows_how_to_send_one(cast, client):
    client.force_login(cast.vera)
    page = get(client)
    assert "curl http" in page
    assert page.count("<h1") == 1


def test_four_sentences_from_the_facts(cast, client, traffic):
    client.force_login(cast.emil)
    page = get(client)
    assert page.count("<h1") == 1
    assert "<b>98 %</b> of 110 requests were answered; 2 failed." in page
    assert "10 calls have no price and are not in it." in page
    assert "One provider: openai" in page
    assert "Owner: Support AI" in page


def test_nothing_is_made_up_for_objectives_and_budgets(cast, client, traffic):
    client.force_login(cast.vera)
    page = get(client)
    assert "No objectives set yet" in page
    assert "No budget yet" in page


def test_no_span_names_or_error_codes(cast, client, traffic):
    client.force_login(cast.emil)
    assert "timeout" not in get(client)


def test_a_period_without_traffic_is_not_compared_with(cast, client, traffic):
    client.force_login(cast.emil)
    assert "period before;" not in get(client, "/executive/?range=7d")


def test_the_same_period_before_is_compared_with(cast, client, traffic):
    record(cast.support, timezone.now() - timedelta(hours=25), 100)
    drain()
    client.force_login(cast.emil)
    assert "points worse than in the period before" in get(client, "/executive/?range=24h")
    assert "points worse" not in get(client, "/executive/?range=24h&compare=none")


def test_another_teams_figures_are_not_shown(cast, client, traffic):
    client.force_login(cast.vera)
    page = get(client)
    assert "of 100 requests" in page
    assert "Search &amp; Answers" not in page
    assert client.get("/executive/?team=search").status_code == 404


def test_of_many_teams_the_dearest_are_shown_and_the_way_to_all(cast, client, traffic, monkeypatch):
    client.force_login(cast.emil)
    assert "all 2 teams" not in get(client)
    monkeypatch.setattr("aiops_site.executive.page.TEAMS", 1)
    page = get(client)
    assert "The dearest of" in page and "all 2 teams" in page and "by=team" in page
    assert page.count(": spend by day") == 1


def test_the_number_of_queries_does_not_grow_with_teams_and_features(cast, client, traffic):
    client.force_login(cast.ada)
    get(client)
    with CaptureQueriesContext(connection) as few:
        get(client)
    for number in range(6):
        record(
            cast.search, timezone.now() - timedelta(hours=2), feature=f"feature-{number}", cost_center=f"CC-{number}"
        )
    drain()
    with CaptureQueriesContext(connection) as many:
        get(client)
    assert len(many) <= len(few)


def forecast_for(cast, **facts):
    used_for(30, cast.support)
    budget = make_budget(cast, **facts)
    call_command("forecast", verbosity=0)
    return budget


def test_the_spend_is_held_against_its_budgets(cast, client):
    forecast_for(cast, name="Everything", team="", limit="2")
    make_budget(cast, name="Only tokens", unit="tokens")
    client.force_login(cast.emil)
    page = get(client)
    assert "Everything</a>" in page and " expected</span>" in page
    assert "Only tokens" not in page and "No budget yet" not in page
    assert 'id="chart-budget-course"' in page


def test_what_is_expected_by_the_months_end_is_said(cast, client):
    forecast_for(cast)
    client.force_login(cast.emil)
    assert "expected by its end" in get(client) and "in 80 of 100 cases" in get(client)
    assert "expected by its end" in get(client, "/executive/?team=support")
    assert "expected by its end" not in get(client, "/executive/?environment=prod")


def test_a_teams_member_sees_the_teams_budgets_only(cast, client):
    forecast_for(cast, name="Support, monthly")
    make_budget(cast, name="Everything", team="")
    client.force_login(cast.vera)
    page = get(client)
    assert "Support, monthly</a>" in page and "Everything" not in page
    assert "expected by its end" in page


def test_many_budgets_cost_no_more_queries(cast, client):
    forecast_for(cast)
    client.force_login(cast.emil)
    get(client)
    with CaptureQueriesContext(connection) as few:
        get(client)
    for number in range(12):
        make_budget(cast, name=f"Budget {number}")
    call_command("forecast", verbosity=0)
    get(client)
    with CaptureQueriesContext(connection) as many:
        page = get(client)
    assert "9 more, expected to go less far." in page
    assert len(many) <= len(few) + 2
