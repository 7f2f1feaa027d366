"""The spend page and its CSV: parts add up, unknown is told apart, links narrow down, nobody sees another's spend."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from tests.traffic import record
from usage import partitions
from usage.models import UsageEvent
from usage.queries.spend import SpendQuery, spend_by
from usage.rollups import drain
from usage.rules.spend import (
    Figures,
    Window,
    month_before,
    month_so_far,
    step_for,
    steps_earlier,
    weeks_earlier,
    whole_steps,
)

pytestmark = pytest.mark.django_db
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def traffic(cast):
    """Support: 30 features an hour ago, one untagged, one unpriced, a tenant; longer prompts than a day before."""
    now = timezone.now()
    partitions.ensure(now)
    at = now - timedelta(minutes=30)
    for number in range(30):
        record(cast.support, at, number % 3 + 1, feature=f"feature-{number:02}", tenant="acme" if number < 5 else None)
    record(cast.support, at, feature=None)
    record(cast.support, at, 4, model="our-own-llm", feature="lab")
    record(cast.support, at, 2, feature='=HYPERLINK("http://x")')
    record(cast.support, at - timedelta(days=1), 2, feature="feature-01", input_tokens=300)
    record(cast.search, at, feature="secret")
    drain()
    return now


@pytest.fixture
def page(client, cast):
    client.force_login(cast.vera)
    return lambda query="": client.get(f"/spend/?{query}")


def stored_cost(team, since: datetime) -> Decimal:
    costs = UsageEvent.objects.filter(team_id=team.pk, occurred_at__gte=since).values_list("cost_usd", flat=True)
    return sum((cost for cost in costs if cost is not None), Decimal(0))


def of_context(response, name: str):
    return response.context[name]


def test_listed_rows_and_the_rest_add_up_to_the_total(page, cast, traffic):
    response = page("range=6h&by=feature&then=model&compare=none")
    rows, rest, total = (of_context(response, name) for name in ("rows", "rest", "total"))
    parts = [*(row.group for row in rows), rest.group]
    assert len(rows) == 25 and rest.count == len(of_context(response, "report").groups) - 25
    assert sum((part.now for part in parts), Figures()) == total.now
    assert total.now.known == stored_cost(cast.support, traffic - timedelta(hours=2))


def test_the_chart_adds_up_to_the_total(page, traffic):
    response = page("range=6h&by=feature&compare=none")
    drawn = of_context(response, "stacked").series
    assert [series.name for series in drawn][-1] == "other" and len(drawn) == 9
    total = sum(value for series in drawn for _, value in series.points if value is not None)
    assert sum(series.summary for series in drawn) == total
    assert total == of_context(response, "total").now.known


def test_it_opens_with_the_month_so_far(page, traffic):
    response = page()
    assert response.status_code == 200
    assert of_context(response, "explorer").window.start.day == 1
    assert "this month so far" in response.content.decode()


def test_unknown_cost_is_a_task_and_never_zero(page, traffic):
    text = page("range=6h&by=feature&feature=lab").content.decode()
    assert "4 calls of models without a price" in text and "/prices/unpriced/" in text
    assert "Spend is unknown" in text


def test_untagged_spend_is_shown_as_none_with_what_to_do(page, traffic):
    text = page("range=6h&by=feature&rows=all").content.decode()
    assert "names no feature" in text and ">(none)</a>" in text


def test_a_value_leads_to_its_own_breakdown(page, traffic):
    text = page("range=6h&by=feature").content.decode()
    link = re.search(r'href="([^"]*feature=feature-02[^"]*by=[^"]*)"', text).group(1).replace("&amp;", "&")
    narrowed = page(link.partition("?")[2])
    assert of_context(narrowed, "total").now.requests == 3
    assert of_context(narrowed, "explorer").group_by == ("model",)


def test_calls_without_a_tenant_are_a_row_and_parts_sum_to_the_whole(page, cast, traffic):
    response = page("range=6h&by=tenant&compare=none")
    rows = {row.cells[0][0]: row.group.now for row in of_context(response, "rows")}
    assert rows["(none)"].requests > rows["acme"].requests > 0
    assert of_context(response, "total").now.known == stored_cost(cast.support, traffic - timedelta(hours=2))


def test_calls_without_a_tenant_lead_to_their_own_breakdown(page, traffic):
    response = page("range=6h&by=tenant&compare=none")
    row = next(row for row in of_context(response, "rows") if row.cells[0][0] == "(none)")
    narrowed = page(row.cells[0][1].partition("?")[2])
    assert of_context(narrowed, "total").now.requests == row.group.now.requests
    assert "tenant=%28none%29" in row.events_url


def test_tenant_with_a_wide_dimension_is_refused_with_the_reason(page, traffic):
    response = page("range=6h&by=tenant&then=endpoint")
    assert response.status_code == 200 and "Figures by tenant are not kept by endpoint" in response.content.decode()
    assert of_context(response, "explorer").group_by == ("tenant",)
    assert page("range=6h&by=tenant&release=1.0").status_code == 400


def test_longer_prompts_show_as_tokens_per_call(page, traffic):
    response = page("range=24h&feature=feature-01&by=feature")
    effects = of_context(response, "total").effects
    assert effects.largest == "tokens" and effects.tokens > 0 and effects.volume == 0
    assert "tokens per call" in of_context(response, "sentence")


def test_another_teams_spend_is_not_there(page, client, cast, traffic):
    assert "secret" not in page("range=6h&by=feature&rows=all").content.decode()
    assert page("team=search").status_code == 404
    client.force_login(cast.newcomer)
    nothing = client.get("/spend/?by=feature")
    assert nothing.status_code == 200 and "report" not in nothing.context and "secret" not in nothing.content.decode()


@pytest.mark.parametrize(
    "query", ["by=colour", "by=team&then=team", "sort=nothing", "from=yesterday", "range=90d&compare=week", "range=1h"]
)
def test_odd_parameters_still_answer(page, traffic, query):
    assert page(query).status_code == 200


def test_every_dimension_answers(page, traffic):
    choices = [name for name, _, _ in of_context(page("range=6h"), "choices")]
    assert {"team", "tenant", "prompt_version", "cost_center", "variant", "initiator"} <= set(choices)
    for name in choices:
        assert page(f"range=6h&by={name}").status_code == 200


def test_the_page_reads_a_fixed_number_of_times(page, traffic, django_assert_max_num_queries):
    page("range=6h&by=feature&then=model")
    with django_assert_max_num_queries(24):
        page("range=6h&by=feature&then=model")


def test_people_read_the_names_of_teams_and_programs_their_slugs(client, cast, traffic):
    client.force_login(cast.ada)
    response = client.get("/spend/?range=6h&by=team")
    assert {row.cells[0][0] for row in of_context(response, "rows")} == {"Support AI", "Search & Answers"}
    assert of_context(response, "stacked").series[0].name == "Support AI"
    assert of_context(response, "stacked").title.startswith("Team Support AI is ")
    assert "team=support" in response.content.decode()
    lines = b"".join(client.get("/spend/csv/?range=6h&by=team").streaming_content).decode()
    assert ",support," in lines and "Support AI" not in lines


def test_names_of_teams_are_sorted_as_they_are_read(client, cast, traffic):
    client.force_login(cast.ada)
    cast.support.name = "Answers"
    cast.support.save()
    rows = of_context(client.get("/spend/?range=6h&by=team&sort=name"), "rows")
    assert [row.cells[0][0] for row in rows] == ["Answers", "Search & Answers"]


# --- CSV ----------------------------------------------------------------------------------------------------------
def test_the_csv_has_the_pages_numbers_with_every_digit(page, client, cast, traffic):
    response = client.get("/spend/csv/?range=6h&by=feature&compare=none") if page() else None
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert len(rows) == 33 and response["Content-Type"].startswith("text/csv")
    assert sum(Decimal(row["spend_usd"] or 0) for row in rows) == stored_cost(
        cast.support, traffic - timedelta(hours=2)
    )
    lab = next(row for row in rows if row["feature"] == "lab")
    assert (lab["spend_usd"], lab["unpriced_calls"]) == ("", "4")


def test_no_cell_of_the_csv_is_a_formula(page, client, traffic):
    page()
    text = b"".join(client.get("/spend/csv/?range=6h&by=feature").streaming_content).decode()
    names = [row["feature"] for row in csv.DictReader(io.StringIO(text))]
    assert '\'=HYPERLINK("http://x")' in names and not any(name.startswith("=") for name in names)


# --- Periods --------------------------------------------------------------------------------------------------------
def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=BERLIN).astimezone(UTC)


def test_a_month_so_far_is_compared_with_the_same_stretch_of_the_month_before():
    so_far = month_so_far(at(2026, 11, 21, 14), BERLIN)
    assert so_far.start == at(2026, 11, 1)
    assert month_before(so_far, BERLIN) == Window(at(2026, 10, 1), at(2026, 10, 21, 14))
    assert month_before(month_so_far(at(2026, 3, 31, 9), BERLIN), BERLIN) == Window(at(2026, 2, 1), at(2026, 3, 1))


def test_a_rolling_window_is_today_and_the_days_before():
    now = at(2026, 10, 28, 10)
    window = whole_steps(Window(now - timedelta(days=7), now), "day", BERLIN, now, rolling=True)
    assert window == Window(at(2026, 10, 22), now)
    # Over the end of summer time: the same days and the same time of day, not the same number of hours.
    assert steps_earlier(window, "day", BERLIN) == Window(at(2026, 10, 15), at(2026, 10, 21, 10))
    assert weeks_earlier(window, BERLIN) == Window(at(2026, 10, 15), at(2026, 10, 21, 10))


def test_a_chosen_window_is_widened_to_whole_steps():
    now = at(2026, 11, 21, 14)
    window = whole_steps(Window(at(2026, 11, 3, 10), at(2026, 11, 9, 15)), "day", BERLIN, now, rolling=False)
    assert window == Window(at(2026, 11, 3), at(2026, 11, 10))


def test_steps_grow_with_the_window():
    lengths = [timedelta(hours=1), timedelta(hours=8), timedelta(days=2), timedelta(days=30), timedelta(days=200)]
    assert [step_for(length) for length in lengths] == ["minute", "5min", "hour", "day", "week"]


def test_calls_of_unknown_cost_have_no_part_in_the_effects(cast, traffic):
    window = Window(traffic - timedelta(hours=2), traffic)
    before = Window(window.start - timedelta(hours=2), window.start)
    report = spend_by(SpendQuery(window, before, ("environment",), (cast.support.pk,)))
    assert report.total.now.unpriced == 4
    assert report.total.effects.change == report.total.now.known
