"""A desk whose figures do not go back as far as a comparison would: what lies before them is unknown, not nothing."""

from datetime import timedelta

import pytest
from django.test import RequestFactory
from django.utils import timezone

from aiops_site.incident import breakdown, trends
from aiops_site.incident.situation import look, windows
from tests.traffic import record
from usage import partitions
from usage.metrics.window import floor
from usage.queries.history import known_since
from usage.rollups import drain
from usage.scope import UTC, Scope, zone_of

pytestmark = pytest.mark.django_db
HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)


def sent_since(team, start, end, every: timedelta = timedelta(minutes=10), **fields) -> None:
    """Ten calls at every `every` from start to end."""
    partitions.ensure(timezone.now())
    at = start
    while at < end:
        record(team, at, 10, **fields)
        at += every
    drain()


def last_hour(user, query: str = "range=1h") -> Scope:
    request = RequestFactory().get(f"/?{query}")
    request.user = user
    return Scope.from_request(request)


@pytest.fixture
def week_old(cast):
    """Team support sends 60 calls an hour; the first hour of it began one to two hours over a week ago."""
    now = timezone.now()
    first = floor(now - WEEK - HOUR, "hour", zone_of(None))
    sent_since(cast.support, first, now - WEEK + 2 * HOUR)
    sent_since(cast.support, now - HOUR, now)
    return first


def test_figures_are_known_since_the_first_hour_of_any_of_the_teams(cast):
    now = timezone.now()
    assert known_since((cast.support.pk, cast.search.pk)) is None
    sent_since(cast.support, now - 2 * HOUR, now - HOUR)
    assert known_since((cast.support.pk, cast.search.pk)) == floor(now - 2 * HOUR, "hour", zone_of(None))
    assert known_since((cast.search.pk,)) is None
    assert known_since(()) is None


def test_what_is_usual_is_read_over_the_hours_with_history_only(cast, week_old):
    at = windows(look(last_hour(cast.vera)))
    assert at.usual.start == week_old
    usual = at.usual.query(("requests_per_minute",)).value("requests_per_minute")
    assert usual == pytest.approx(1, rel=0.1)  # over the whole four hours it would be less


def test_a_chart_leaves_a_gap_before_the_first_event_and_its_title_compares_with_known_time_only(cast, week_old):
    drawn = trends.Trends(last_hour(cast.vera, "range=6h"))
    points = dict(drawn.previous("requests").points)
    early = [value for at, value in points.items() if at - WEEK < week_old]
    assert early and set(early) == {None}
    assert float(drawn.total_before["tokens_per_minute"]) == pytest.approx(1_100, rel=0.25)


def test_a_sum_is_compared_with_a_whole_earlier_window_only(cast, week_old):
    partly = breakdown.read(last_hour(cast.vera, "range=6h"), "model", "-count")
    assert [line.usual_cost for line in partly.lines] == [None]
    sent_since(cast.support, week_old - 6 * HOUR, week_old - 5 * HOUR)
    whole = breakdown.read(last_hour(cast.vera, "range=6h"), "model", "-count")
    assert all(line.usual_cost for line in whole.lines)


def test_spend_says_why_nothing_can_be_compared_and_offers_what_can(client, cast):
    now = timezone.now()
    sent_since(cast.support, now - timedelta(days=3), now, every=timedelta(hours=6))
    client.force_login(cast.vera)
    page = client.get("/spend/?range=30d").content.decode()
    first = floor(now - timedelta(days=3), "hour", zone_of(None)).astimezone(UTC)
    assert f"The first call came on {first:%-d %b %Y}: the period before, " in page
    assert "lies before that" in page
    assert 'href="/spend/?range=24h&amp;compare=previous">Compare the last 24 hours with those before' in page
    assert "The first call came" not in client.get("/spend/?range=24h").content.decode()
    assert "The first call came" not in client.get("/spend/?range=30d&compare=none").content.decode()


def test_spend_says_when_the_period_before_is_known_in_part(client, cast):
    now = timezone.now()
    sent_since(cast.support, now - timedelta(days=10), now, every=timedelta(days=1))
    client.force_login(cast.vera)
    assert "is known in part only" in client.get("/spend/?range=7d").content.decode()
