"""The incident view over HTTP: an outage is told as one, everyone sees their own, and it says when it cannot tell."""

import re
from datetime import datetime, timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Team
from aiops_site.incident.views import PARTS
from tests.cast import make_team, make_user
from tests.traffic import event
from usage import partitions
from usage.actions import record_events
from usage.changes import record_change
from usage.models import ChangeMarker
from usage.rollups import drain

pytestmark = pytest.mark.django_db
WEEK, MINUTE = timedelta(weeks=1), timedelta(minutes=1)
HTMX = {"HX-Request": "true"}
OUTAGE = {
    "status": "error",
    "error_type": "provider_5xx",
    "http_status": 503,
    "input_tokens": None,
    "output_tokens": None,
}


def now() -> datetime:
    return timezone.now().replace(second=0, microsecond=0)


def traffic(team, start: datetime, minutes: int, every_minute: int = 4, **fields) -> list[dict]:
    """Calls of two providers in turn, a few each minute; `fields` go on those of openai only."""
    made = []
    for minute in range(minutes):
        for number in range(every_minute):
            at = start + minute * MINUTE + timedelta(seconds=50 * number / every_minute)
            other = {"provider": "anthropic", "model": "claude-sonnet-4-5", "feature": "search", "tenant": "globex"}
            made.append(event(at, **({"tenant": "acme", **fields} if number % 2 else other)))
    return made


def week_before(team, start: datetime, minutes: int) -> list[dict]:
    """The same a week earlier, and for hours around: what is usual is read over more than the window itself."""
    return traffic(team, start - WEEK - 180 * MINUTE, minutes + 360)


def store(team, *batches: list[dict]) -> None:
    partitions.ensure(timezone.now())
    for events in batches:
        outcome = record_events(team=team, environment="", api_key_id=None, events=events)
        assert outcome.accepted == len(events)
    drain()


@pytest.fixture
def outage(cast):
    """Team support: two calm hours and the same a week earlier, then openai fails for the last half hour."""
    at = now()
    failing, before = at - 30 * MINUTE, at - 120 * MINUTE
    store(
        cast.support,
        week_before(cast.support, before, 120),
        traffic(cast.support, before, 90),
        traffic(cast.support, failing, 30, **OUTAGE),
    )
    return failing


@pytest.fixture
def calm(cast):
    """Team support: an hour like the same a week earlier."""
    start = now() - 60 * MINUTE
    store(cast.support, week_before(cast.support, start, 60), traffic(cast.support, start, 60))


def text_of(response) -> str:
    """What a reader sees, in one line."""
    body = re.sub(r"<script.*?</script>", "", response.content.decode(), flags=re.S)
    words = " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).replace("\N{NO-BREAK SPACE}", " ").split())
    return words.replace(" .", ".")


def page(client, user, query: str = "", part: str = "") -> str:
    """The text of the first section, or of a part, as a refresh gets it."""
    client.force_login(user)
    url = reverse("incident-part", args=[part]) if part else reverse("incident")
    response = client.get(url + query, headers=HTMX)
    assert response.status_code == 200
    return text_of(response)


# --- The story ----------------------------------------------------------------------------------------------------
def test_it_says_which_provider_fails_and_since_when(client, cast, outage):
    text = page(client, cast.olu)
    since = re.search(r"openai failing since (\d\d:\d\d) \((\d+) min\)", text)
    assert since, text
    assert abs(int(since[2]) - 30) <= 6
    told = re.search(r"(\d+) % of \d+ calls to openai fail \(usually 0\.0 %\)\. (\d+) % of requests succeed", text)
    assert told and int(told[1]) > 90 and int(told[2]) < 60, text


def test_it_says_who_is_hit(client, cast, outage):
    text = page(client, cast.olu, part="impact")
    assert "Who is hit" in text
    assert re.search(r"Tenants Share Failed Rate acme 100 %", text)
    assert re.search(r"Features Share Failed Rate answers 100 %", text)


def test_it_says_whose_errors_they_are(client, cast, outage):
    text = page(client, cast.olu, part="cause")
    assert re.search(r"100 % of \d+ failed stages point to the provider side: openai\.", text)
    assert re.search(r"openai Failing", text) and re.search(r"anthropic Answering", text)
    assert "provider_5xx" in text


def test_it_says_what_is_different_from_last_week(client, cast, outage):
    text = page(client, cast.olu, part="impact")
    assert re.search(r"More failures 0\.0 % → ([89]\d|100) % provider openai 100 % of the change", text)
    assert "anthropic" not in text.partition("Different from last week")[2]


def test_empty_retrieval_is_told_though_requests_succeed(client, cast):
    start = now() - 60 * MINUTE
    found = {"operation": "retrieval", "feature": "answers", "documents": 5, "provider": None, "model": None}
    search = [event(start - WEEK + n * MINUTE, **found) for n in range(60)]
    empty = [event(start + n * MINUTE, **found | {"documents": 0 if n % 2 else 5}) for n in range(60)]
    store(cast.support, week_before(cast.support, start, 60), traffic(cast.support, start, 60), search, empty)
    text = page(client, cast.olu)
    assert re.search(r"Degraded: empty retrieval\. .* \d\d % of \d\d retrievals find nothing \(usually 0\.0 %\)", text)
    assert re.search(
        r"More empty retrievals 0\.0 % → 5\d % feature answers 100 %", page(client, cast.olu, part="impact")
    )


def test_a_red_row_leads_to_its_events(client, cast, outage):
    client.force_login(cast.olu)
    body = client.get(reverse("incident")).content.decode()
    url = unescape(re.search(r'href="(/events/[^"]*provider=openai[^"]*)"', body)[1])
    assert "status=error" in url and "from=" in url
    assert client.get(url).status_code == 200


def test_it_shows_the_change_before_it(client, cast, outage):
    record_change(team=cast.support, at=outage - 20 * MINUTE, kind=ChangeMarker.Kind.DEPLOY, title="answers 9.9.9")
    record_change(team=cast.search, at=outage, kind=ChangeMarker.Kind.DEPLOY, title="not yours 1.0")
    text = page(client, cast.olu, part="impact")
    assert "answers 9.9.9" in text and "not yours" not in text
    assert "answers 9.9.9" in page(client, cast.olu, part="trends")


def test_a_past_outage_is_told_in_its_window(client, cast):
    end = now() - timedelta(days=2)
    store(
        cast.support,
        week_before(cast.support, end - 180 * MINUTE, 180),
        traffic(cast.support, end - 180 * MINUTE, 60),
        traffic(cast.support, end - 120 * MINUTE, 40, **OUTAGE),
        traffic(cast.support, end - 80 * MINUTE, 80),
    )
    text = page(client, cast.olu, f"?from={end - 180 * MINUTE:%Y-%m-%dT%H:%M}&to={end:%Y-%m-%dT%H:%M}")
    start = end - 120 * MINUTE
    assert re.search(rf"openai failing {start:%-d %b} \d\d:\d\d–\d\d:\d\d \((3|4)\d min\)", text), text


def test_a_calm_hour_is_called_normal(client, cast, calm):
    text = page(client, cast.olu)
    assert "Answering normally" in text and "a week earlier 100 %" in text
    assert "Nobody: of 240 requests none failed" in page(client, cast.olu, part="impact")


# --- Who sees what ------------------------------------------------------------------------------------------------
def test_a_team_sees_only_its_own(client, cast, outage):
    for query, part in [("", ""), *[("", name) for name in PARTS]]:
        text = page(client, cast.stan, query, part)
        assert "anthropic" not in text and "acme" not in text


def test_another_team_is_not_found(client, cast, outage):
    client.force_login(cast.stan)
    for url in (reverse("incident"), *(reverse("incident-part", args=[name]) for name in PARTS)):
        assert client.get(f"{url}?team=support").status_code == 404


def test_the_organisation_sees_all_teams(client, cast, outage):
    assert "openai failing since" in page(client, cast.emil)


def test_strangers_sign_in_first(client, cast):
    for url in (reverse("incident"), reverse("incident-part", args=["cause"])):
        assert client.get(url).status_code == 302


# --- When it cannot tell ------------------------------------------------------------------------------------------
def test_a_new_desk_gets_a_line_to_paste(client, cast):
    text = page(client, cast.tara)
    assert "Nothing has arrived yet" in text and "/api/v1/events" in text and "Make a key" in text


def test_an_admin_of_a_desk_without_teams_makes_the_first(client, cast):
    Team.objects.all().delete()
    text = page(client, cast.ada)
    assert "Create the first team" in text and "You are in no team" not in text


def test_someone_without_a_team_is_told_so(client, cast):
    text = page(client, cast.newcomer)
    assert "You are in no team yet" in text and "curl" not in text


def test_little_traffic_is_not_called_healthy(client, cast):
    store(cast.support, [event(now() - 5 * MINUTE) for _ in range(7)])
    assert "Not enough traffic to tell. 7 requests in the last hour, 0 failed." in page(client, cast.olu)


def test_silence_is_told(client, cast):
    start = now() - 100 * MINUTE
    store(cast.support, week_before(cast.support, start, 100), traffic(cast.support, start, 70))
    text = page(client, cast.olu)
    assert re.search(r"No events for [23]\d min\. Nothing has arrived, where \d+ requests an hour are usual", text), (
        text
    )


def test_figures_that_are_behind_are_called_so(client, cast, calm):
    record_events(team=cast.support, environment="", api_key_id=None, events=[event(now())])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE usage_rollup_mark SET created_at = created_at - interval '3 minutes'")
    assert "Figures are behind" in page(client, cast.olu)


def test_a_bad_time_is_named_and_the_page_still_answers(client, cast, calm):
    text = page(client, cast.olu, "?from=yesterday")
    assert "“yesterday” is not a time" in text and "Answering normally" in text


def test_unknown_cost_is_never_zero(client, cast):
    store(cast.support, [event(now() - 5 * MINUTE, model="our-own-llm", provider="vllm") for _ in range(60)])
    assert re.search(r"Spend unknown", page(client, cast.olu))
    assert re.search(r"our-own-llm .* unknown", page(client, cast.olu, "?by=model", "breakdown"))


# --- Filters, windows, tables -------------------------------------------------------------------------------------
@pytest.mark.parametrize("part", ["", *PARTS])
@pytest.mark.parametrize(
    "query",
    [
        "?range=1h", "?range=7d&compare=previous", "?range=90d", "?provider=openai", "?tenant=acme",
        "?tenant=acme&model=gpt-4o&by=region", "?environment=prod&feature=answers&compare=week",
        "?from=2026-01-01T00:00&to=2026-01-01T03:00", "?from=2001-01-01&to=2001-01-02", "?by=nothing&sort=nothing",
        "?feature=(none)", "?tenant=%00", "?model=%3Cb%3E",
    ],
)  # fmt: skip
def test_every_part_answers_every_window_and_filter(client, cast, calm, part, query):
    page(client, cast.emil, query, part)


def test_a_model_filter_speaks_of_model_calls(client, cast, calm):
    text = page(client, cast.olu, "?provider=openai")
    assert "model calls succeed" in text


def test_the_breakdown_sorts_and_compares(client, cast, outage):
    text = page(client, cast.olu, "?by=provider&sort=-error_rate", "breakdown")
    assert text.index("openai") < text.index("anthropic")
    assert "Model calls" in text
    text = page(client, cast.olu, "?by=provider&sort=error_rate", "breakdown")
    assert text.index("anthropic") < text.index("openai")


@pytest.mark.parametrize("part", ["", *PARTS])
def test_each_address_has_one_heading_and_is_a_fragment_for_htmx(client, cast, calm, part):
    client.force_login(cast.olu)
    url = reverse("incident-part", args=[part]) if part else reverse("incident")
    whole, alone = client.get(url), client.get(url, headers=HTMX)
    assert whole.content.count(b"<h1") == 1 and whole.content.count(b"<html") == 1
    assert b"<html" not in alone.content and f'id="{part or "now"}"'.encode() in alone.content
    assert "HX-Request" in whole["Vary"]


def test_an_unknown_part_is_not_found(client, cast):
    client.force_login(cast.olu)
    assert client.get(reverse("incident-part", args=["nothing"])).status_code == 404


def test_a_past_window_does_not_refresh(client, cast, calm):
    client.force_login(cast.olu)
    past = f"?from={now() - 50 * MINUTE:%Y-%m-%dT%H:%M}&to={now() - 20 * MINUTE:%Y-%m-%dT%H:%M}"
    assert b"data-live=" in client.get(reverse("incident")).content
    assert b"data-live=" not in client.get(reverse("incident") + past).content


@pytest.mark.parametrize("part", ["", *PARTS])
def test_the_number_of_queries_does_not_grow_with_the_data(cast, calm, part):
    """Twice the teams, tenants, features and models, the same number of queries."""
    url = reverse("incident-part", args=[part]) if part else reverse("incident")
    before = queries(cast.emil, url)
    for number in range(5):
        team = make_team(f"more{number}")
        make_user(f"more{number}", "viewer", team)
        names = {"tenant": f"tenant-{number}", "feature": f"feature-{number}", "model": "gpt-4o-mini"}
        store(team, traffic(team, now() - 50 * MINUTE, 50, **names))
    assert queries(cast.emil, url) == before <= 30


def queries(user, url: str) -> int:
    client = Client()
    client.force_login(user)
    client.get(url)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(url).status_code == 200
    return len(captured)
