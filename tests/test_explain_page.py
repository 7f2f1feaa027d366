"""The page and the API that explain a change: what they say, exact parts, links, bounded reading, own team only."""

from datetime import timedelta
from decimal import Decimal
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from django.template.loader import render_to_string
from django.utils import timezone

from tests.cast import bearer, make_key
from tests.traffic import record
from usage import partitions
from usage.changes import record_change
from usage.links import explain_url
from usage.queries.explain import Question, explain
from usage.queries.explained import EXPLAINED
from usage.rollups import drain
from usage.rules.spend import Window
from usage.scope import zone_of
from usage.views.explain_shown import summary

pytestmark = pytest.mark.django_db


@pytest.fixture
def story(cast):
    """Chat sends three times the tokens since its prompt v2, an hour ago; the hour before was calm. Returns both."""
    now = timezone.now().replace(second=0, microsecond=0)
    partitions.ensure(now)
    window, before = Window(now - timedelta(hours=1), now), Window(now - timedelta(hours=2), now - timedelta(hours=1))
    for minute in range(0, 120, 4):
        at, late = before.start + timedelta(minutes=minute), minute >= 60
        prompt = {"prompt_version": "v2", "input_tokens": 3000} if late else {"prompt_version": "v1"}
        record(cast.support, at, 3, feature="chat", tenant="acme", **prompt)
        record(cast.support, at, 4, feature="search")
        record(cast.support, at, 1 + late, feature="lab", model="our-own-llm")
        record(cast.search, at, 5 * (1 + late), feature="secret")
    record_change(team=cast.support, at=window.start, kind="prompt", title="Chat prompt v2", feature="chat", ref="v2")
    record_change(team=cast.support, at=window.start, kind="deploy", title="Search 4.1", feature="search")
    drain()
    return window, before


@pytest.fixture
def page(client, cast, story):
    client.force_login(cast.vera)

    def get(metric: str = "spend", **more: str):
        return client.get(explain_url(metric, *story) + "".join(f"&{name}={value}" for name, value in more.items()))

    return get


def text_of(response) -> str:
    return unescape(response.content.decode())


def links_of(response, start: str) -> list[dict[str, list[str]]]:
    hrefs = [piece.split('"')[0] for piece in text_of(response).split('href="')[1:]]
    return [parse_qs(urlsplit(href).query) for href in hrefs if href.startswith(start)]


# --- The page -------------------------------------------------------------------------------------------------------
def test_the_finding_names_value_cause_onset_and_change(page):
    response = page()
    assert "is feature chat after prompt version v2 – tokens per call ×2.8, calls unchanged." in text_of(response)
    assert "right at the change “Chat prompt v2”" in text_of(response)
    assert [suspect.title for suspect in response.context["suspects"]] == ["Chat prompt v2", "Search 4.1"]


def test_unknown_cost_is_said_apart_and_no_part_of_the_change(page):
    response = page()
    assert "Calls without a price: 30 now, 15 before" in text_of(response)
    shown = {row.name: row for row in response.context["value_rows"]}
    assert (shown["lab"].before, shown["lab"].now) == ("unknown", "unknown")
    explanation = response.context["explanation"]
    assert explanation.change == sum(part.contribution for part in (*explanation.parts, explanation.rest))


def test_both_waterfalls_end_where_the_figure_is(page):
    response = page()
    for steps in (response.context["by_part"], response.context["by_cause"]):
        assert (steps[0].text, steps[-1].text) == (response.context["before_text"], response.context["now_text"])
        moved = steps[1:-1]
        assert max(step.x + step.width for step in moved) <= 100.01


def test_every_dimension_has_its_tab_and_sums_to_the_change(page):
    names = [label for label, _, _ in page().context["tabs"]]
    assert names[0] == "Feature" and {"Prompt version", "Tenant", "Model"} <= set(names)
    for name in ("prompt_version", "tenant", "model"):
        response = page(by=name)
        assert response.context["dimension"].name == name and f"By {name.replace('_', ' ')}" in text_of(response)


def test_a_value_leads_to_its_own_explanation_and_to_its_events(page, story):
    response = page()
    narrowed = [query for query in links_of(response, "?") if query.get("feature") == ["chat"]]
    assert narrowed and narrowed[0]["metric"] == ["spend"] and "base_from" in narrowed[0]
    events = [query for query in links_of(response, "/events/") if query.get("feature") == ["chat"]]
    assert events and events[0]["from"] == [story[0].start.isoformat().replace("+00:00", "Z")]


def test_the_metric_s_own_events_are_linked(page):
    assert all(query["entries"] == ["1"] for query in links_of(page("requests"), "/events/") if "from" in query)


@pytest.mark.parametrize("metric", EXPLAINED)
def test_every_metric_answers(page, metric):
    response = page(metric)
    assert response.status_code == 200 and response.context["finding"].endswith(".")


def test_an_equal_time_says_that_nothing_changed(client, cast, story):
    client.force_login(cast.vera)
    response = client.get(explain_url("spend", story[1], story[1]))
    assert "Spend hardly changed" in text_of(response) and "Nothing changed as a whole" in text_of(response)


def test_no_data_before_offers_the_period_before(client, cast, story):
    client.force_login(cast.vera)
    response = client.get(explain_url("spend", story[0]))
    assert "No data before" in text_of(response)
    assert any(query.get("compare") == ["previous"] for query in links_of(response, "?"))
    follow = client.get(explain_url("spend", story[0], compare="previous"))
    assert follow.context["state"] == ""


def test_no_data_at_all_and_ended_data_are_told_apart(client, cast, story):
    client.force_login(cast.vera)
    long_ago = Window(story[1].start - timedelta(hours=9), story[1].start - timedelta(hours=8))
    assert "Nothing in either time" in text_of(client.get(explain_url("spend", long_ago, long_ago)))
    assert "No data in this time" in text_of(client.get(explain_url("spend", long_ago, story[0])))


@pytest.mark.parametrize(
    "query",
    [
        "metric=mood",
        "by=colour",
        "base_from=noon",
        "base_from=2026-01-02T00:00Z&base_to=2026-01-01T00:00Z",
        "range=90d",
    ],
)
def test_odd_parameters_still_answer(client, cast, story, query):
    client.force_login(cast.vera)
    assert client.get(f"/spend/explain/?{query}").status_code == 200


def test_tenants_cannot_be_crossed_with_wide_dimensions(page):
    assert page(tenant="acme").status_code == 200
    response = page(tenant="acme", release="1.0")
    assert response.status_code == 400 and "not kept by release" in text_of(response)


def test_another_team_s_change_is_not_there(page, client, cast, story):
    assert "secret" not in text_of(page(by="feature"))
    assert page(team="search").status_code == 404
    client.force_login(cast.newcomer)
    assert "secret" not in text_of(client.get(explain_url("requests", *story)))


@pytest.mark.parametrize("metric", ["spend", "error_rate", "latency"])
def test_the_page_reads_a_bounded_number_of_times(page, metric, django_assert_max_num_queries):
    page(metric)
    with django_assert_max_num_queries(30):
        page(metric)


def test_the_spend_page_leads_to_it(client, cast, story):
    client.force_login(cast.vera)
    start, end = (f"{at.isoformat()[:16]}Z" for at in (story[0].start, story[0].end))
    (query,) = links_of(client.get(f"/spend/?from={start}&to={end}&by=feature"), "/spend/explain/")
    assert query["metric"] == ["spend"] and {"from", "to", "base_from", "base_to"} <= set(query)


def test_its_summary_says_the_same_on_other_pages(cast, story):
    explanation = explain(Question(EXPLAINED["spend"], *story, (cast.support.pk,)))
    told = summary(explanation, zone_of(cast.vera), team="support")
    assert "feature chat" in told.finding and told.rows[0][0] == "Feature chat"
    assert parse_qs(urlsplit(told.url).query)["team"] == ["support"]
    drawn = unescape(render_to_string("usage/explain/summary.html", {"summary": told}))
    assert told.finding in drawn and "Take it apart" in drawn and "Chat prompt v2" in drawn


# --- The API --------------------------------------------------------------------------------------------------------
@pytest.fixture
def read(client, cast, story):
    headers = bearer(make_key(cast.support, "read")[1])
    times = {"start": story[0].start, "end": story[0].end, "base_start": story[1].start, "base_end": story[1].end}
    own = {name: at.isoformat() for name, at in times.items()}

    def get(**query):
        wanted = {name: value for name, value in (own | query).items() if value is not None}
        return client.get("/api/v1/explain", wanted, headers=headers)

    return get


def amount(text: str) -> Decimal:
    assert isinstance(text, str)
    return Decimal(text)


@pytest.mark.parametrize("metric", ["spend", "tokens", "tokens_per_call", "latency"])
def test_the_api_s_parts_sum_to_the_change_to_the_last_digit(read, metric):
    body = read(metric=metric).json()
    parts = [*body["parts"], body["rest"]]
    assert sum(amount(part["change"]) for part in parts) + amount(body["remainder"]) == amount(body["whole"]["change"])
    for part in parts:
        assert not part["effects"] or sum(map(amount, part["effects"].values())) == amount(part["change"])
    for dimension in body["dimensions"]:
        listed = [*dimension["values"], dimension["rest"]]
        whole = sum(amount(part["change"]) for part in listed) + amount(dimension["remainder"])
        assert whole == amount(body["whole"]["change"])


def test_the_api_says_finding_set_onset_and_suspects(read, story):
    body = read().json()
    assert body["state"] == "changed" and "feature chat" in body["finding"]
    assert [part["where"] for part in body["parts"]] == [{"feature": "chat"}]
    assert body["new"] == [{"dimension": "prompt_version", "value": "v2", "instead": "v1"}]
    assert body["suspects"][0]["title"] == "Chat prompt v2"
    assert body["suspects"][0]["matches"] == ["feature", "team", "new prompt_version"]
    assert body["unknown"]["unpriced_calls"] == [15, 30]
    assert body["onset"]["at"].startswith(story[0].start.isoformat()[:13])


def test_the_api_lists_as_many_values_as_asked_and_the_rest_together(read):
    feature = next(one for one in read(limit="1").json()["dimensions"] if one["name"] == "feature")
    assert len(feature["values"]) == 1 and feature["rest"]["values"] == 2


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"metric": "mood"}, "metric"),
        ({"base_end": None}, "base_end"),
        ({"end": "2026-01-01T00:00:00Z", "start": "2026-01-02T00:00:00Z"}, "end"),
        ({"group_by": "feature"}, "group_by"),
        ({"tenant": "acme", "release": "1"}, "group_by"),
        ({"colour": "red"}, "colour"),
        ({"compare": "none", "base_start": None, "base_end": None}, "compare"),
        ({"limit": "0"}, "limit"),
    ],
    ids=["metric", "half a base", "window", "group_by", "tenant", "unknown", "compare", "limit"],
)
def test_the_api_says_what_to_mend(read, query, field):
    response = read(**query)
    problem = response.json()
    assert response.status_code == 400 and field in str(problem) and "fix" in str(problem)


def test_the_api_compares_with_a_week_before_or_the_period_before(read):
    nothing = {"base_start": None, "base_end": None}
    assert read(**nothing).json()["state"] == "no_before"
    body = read(**nothing, compare="previous").json()
    assert body["state"] == "changed" and body["base_window"]["end"] == body["window"]["start"]


def test_the_api_reads_its_own_team_only(read, client):
    assert "secret" not in read(metric="requests").content.decode()
    assert read(team="search").status_code == 404
    assert client.get("/api/v1/explain").status_code == 401
