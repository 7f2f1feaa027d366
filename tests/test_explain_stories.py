"""The three stories planted in the demo: the explanation names the planted cause first."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from accounts.demo import create_demo_teams
from usage import partitions
from usage.demo import load, stories
from usage.demo.changes import markers
from usage.metrics.query import UTC_ZONE
from usage.models import ChangeMarker
from usage.queries.explain import Explanation, Question, explain
from usage.queries.explained import EXPLAINED
from usage.rollups import drain
from usage.rules.finding import finding
from usage.rules.spend import Window, weeks_earlier

pytestmark = pytest.mark.django_db(transaction=True)
WEEK = timedelta(weeks=1)


def friday_afternoon() -> datetime:
    """The last one, so that every story lies on working days whenever the tests run."""
    now = timezone.now().astimezone(UTC)
    moment = now.replace(hour=16, minute=0, second=0, microsecond=0)
    moment -= timedelta(days=(moment.weekday() - 4) % 7)
    return moment if moment <= now else moment - WEEK


END = friday_afternoon()


def windows(story: stories.Story, compare: str = "week", length: timedelta | None = None) -> tuple[Window, Window]:
    """The story (the first `length` of it) and what it is compared with."""
    start, end = story.span(END)
    window = Window(start, min(end, start + length) if length else end)
    if compare == "previous":
        return window, Window(start - (window.end - start), start)
    return window, weeks_earlier(window, UTC_ZONE)


def filled(window: Window, before: Window, volume: float) -> tuple[int, ...]:
    """The demo's events of both windows and half as long before; ids of its teams."""
    teams = {team.slug: team for team in create_demo_teams()}
    partitions.ensure(timezone.now())
    lead = (window.end - window.start) / 2
    for team in teams.values():
        for span in (before, window):
            load.fill(team=team, since=span.start - lead, until=span.end, window_end=END, volume=volume)
    ChangeMarker.objects.bulk_create(ChangeMarker(**one | {"team": teams[one["team"]]}) for one in markers(END))
    drain()
    return tuple(team.pk for team in teams.values())


def told(story: stories.Story, metric: str, compare: str = "week") -> Explanation:
    window, before = windows(story, compare)
    return explain(Question(EXPLAINED[metric], window, before, filled(window, before, 3)))


def named(explanation: Explanation) -> list[dict[str, str]]:
    return [dict(part.where) for part in explanation.parts]


@pytest.mark.parametrize("compare", ["week", "previous"])
def test_the_outage_of_a_provider_is_named_first(compare):
    explanation = told(stories.OUTAGE, "call_errors", compare)
    assert named(explanation)[0]["provider"] == stories.OUTAGE_PROVIDER
    assert explanation.parts[0].share > 0.75
    assert f"is provider {stories.OUTAGE_PROVIDER}" in finding(explanation, UTC_ZONE)
    began = explanation.onset
    assert began and abs(began.at - stories.OUTAGE.span(END)[0]) <= timedelta(minutes=10)


def test_the_fallbacks_of_the_outage_are_named_by_the_models_that_failed():
    explanation = told(stories.OUTAGE, "fallbacks")
    failed = [where.get("fallback_from", "") for where in named(explanation)]
    assert failed and all(model.startswith(("gpt", "o4")) for model in failed)


def test_the_bloated_prompt_is_named_first():
    window, before = windows(stories.BLOAT, length=timedelta(hours=10))
    teams = filled(window, before, 4)
    for metric, cause in (("spend", "tokens"), ("tokens", "rate")):
        explanation = explain(Question(EXPLAINED[metric], window, before, teams))
        assert named(explanation)[0] == {"feature": stories.BLOAT_FEATURE}
        part, text = explanation.parts[0], finding(explanation, UTC_ZONE)
        assert part.effects[cause] > abs(part.effects["volume"])
        assert "after prompt version v14 – tokens per call ×" in text
        suspect = explanation.suspects[0]
        assert "prompt v14" in suspect.change.title and suspect.strong
        assert abs(explanation.onset.at - window.start) <= timedelta(hours=1)


@pytest.mark.parametrize("compare", ["week", "previous"])
def test_the_failed_retrieval_is_named_first(compare):
    explanation = told(stories.RETRIEVAL, "empty_retrieval_rate", compare)
    assert {where["feature"] for where in named(explanation)[:2]} == stories.RETRIEVAL_FEATURES
    assert sum(part.share for part in explanation.parts[:2]) > 0.75
    assert {suspect.change.title for suspect in explanation.suspects[:2]} == {"Index rebuild web-307"}
    assert abs(explanation.onset.at - stories.RETRIEVAL.span(END)[0]) <= timedelta(minutes=30)
    assert "change “Index rebuild web-307”" in finding(explanation, UTC_ZONE)
