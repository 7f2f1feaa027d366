"""Triage of the demo's planted stories: the right failure mode first, the right blast radius, soon after the onset."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from accounts.demo import create_demo_people, create_demo_teams
from incidents.demo_incidents import create_demo_incidents
from incidents.demo_telling import create_demo_telling
from incidents.models import Incident
from incidents.queries.status_page import snapshot
from incidents.queries.watch import watched
from incidents.triage import Assessment, assess
from usage import partitions
from usage.demo import load, stories
from usage.demo.changes import markers
from usage.models import ChangeMarker
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)
WEEK, HOUR = timedelta(weeks=1), timedelta(hours=1)
CUTS = [timedelta(minutes=10), timedelta(minutes=30), None]


def friday_afternoon() -> datetime:
    """The last one, so that every story lies on working days whenever the tests run."""
    now = timezone.now().astimezone(UTC)
    moment = now.replace(hour=16, minute=0, second=0, microsecond=0)
    moment -= timedelta(days=(moment.weekday() - 4) % 7)
    return moment if moment <= now else moment - WEEK


END = friday_afternoon()


def filled(start: datetime, end: datetime, weeks: int = 3) -> tuple[int, ...]:
    """The demo's events of the window, the hours before it and the same hours of earlier weeks; ids of its teams."""
    teams = {team.slug: team for team in create_demo_teams()}
    partitions.ensure(timezone.now())
    spans = [(start - 3 * HOUR, end)]
    spans += [(start - number * WEEK - 2 * HOUR, end - number * WEEK + 2 * HOUR) for number in range(1, weeks + 1)]
    for team in teams.values():
        for since, until in spans:
            load.fill(team=team, since=since, until=until, window_end=END)
    ChangeMarker.objects.bulk_create(ChangeMarker(**one | {"team": teams[one["team"]]}) for one in markers(END))
    drain()
    return tuple(team.pk for team in teams.values())


def triaged(teams: tuple[int, ...], start: datetime, end: datetime) -> Assessment:
    return assess(team_ids=teams, scope={}, start=start, end=end, at=timezone.now())


def cuts(story: stories.Story, longest: timedelta) -> list[Assessment]:
    """Assessments of the first ten minutes, the first thirty, and all of it (at most `longest`)."""
    start, end = story.span(END)
    end = min(end, start + longest)
    teams = filled(start, end)
    return [triaged(teams, start, start + cut if cut else end) for cut in CUTS]


def test_the_outage_of_a_provider_is_ranked_first_and_hits_that_provider_alone():
    for found in cuts(stories.OUTAGE, HOUR):
        assert found.first.mode == "provider" and found.confidence == "clear"
        assert found.radius.values == {"provider": ["openai"]}
        spared = next(one for one in found.radius.dimensions if one.name == "provider").spared
        assert {"anthropic", "mistral"} <= {place.value for place in spared}
        assert found.radius.share > 0.9


def test_the_bloated_prompt_is_ranked_first_and_hits_its_feature_and_version_alone():
    early, *later = cuts(stories.BLOAT, 8 * HOUR)
    for found in (early, *later):
        assert found.first.mode == "prompt" and found.confidence != "none"
        assert found.radius.values == {"feature": ["answer-drafting"], "prompt_version": ["v14"]}
        assert "prompt v14" in found.suspects[0].title
    assert [found.confidence for found in later] == ["clear", "clear"]


def test_the_failed_retrieval_is_ranked_first_and_hits_two_features_alone():
    early, *later = cuts(stories.RETRIEVAL, 3 * HOUR)
    for found in (early, *later):
        assert found.first.mode == "retrieval" and found.confidence == "clear"
        assert found.suspects[0].title == "Index rebuild web-307"
        assert "it names feature" in found.suspects[0].why
    # Half an hour holds a handful of retrievals, of which one feature may have too few to tell.
    assert all(set(found.radius.values["feature"]) <= stories.RETRIEVAL_FEATURES for found in (early, *later))
    assert later[-1].radius.values == {"feature": ["answer-box", "site-search"]}


def test_healthy_windows_have_no_confident_verdict():
    start = stories.OUTAGE.span(END)[0] - 24 * HOUR
    teams = filled(start, start + 3 * HOUR, weeks=2)
    windows = [(0, 10), (0, 30), (30, 60), (60, 90), (0, 180), (90, 180)]
    for first, last in windows:
        found = triaged(teams, start + timedelta(minutes=first), start + timedelta(minutes=last))
        assert found.confidence == "none"


def test_without_earlier_weeks_the_hours_before_are_the_baseline():
    start, end = stories.RETRIEVAL.span(END)
    found = triaged(filled(start, end, weeks=0), start, end)
    assert (found.baseline.kind, found.first.mode) == ("before", "retrieval")
    assert found.baseline.label == "the hours before it"


def test_the_demos_past_stories_are_incidents_with_the_evidence_of_then():
    create_demo_people()
    start, end = stories.RETRIEVAL.span(END)
    filled(start, end + HOUR, weeks=1)
    assert create_demo_incidents(END) == 3
    assert create_demo_incidents(END) == 0
    found = {one.failure_mode: one for one in Incident.objects.all()}
    assert set(found) == {"provider", "prompt", "retrieval"}
    for one in found.values():
        assert one.state == "resolved"
        assert one.impact_started_at < one.detected_at < one.acknowledged_at or one.declared_by
        assert one.detected_at < one.mitigated_at < one.resolved_at < timezone.now()
        moments = list(one.timeline.values_list("at", flat=True))
        assert moments[0] == one.detected_at and moments[-1] == one.resolved_at
    decision = found["retrieval"].timeline.get(kind="triage").data["triage"]
    assert decision["modes"][0]["mode"] == "retrieval"
    assert set(decision["radius"]["values"]["feature"]) <= stories.RETRIEVAL_FEATURES
    (done,) = watched(found["retrieval"], timezone.now())
    assert done.verdict.outcome == "helped"


def test_the_demos_teams_told_people_of_their_incidents():
    create_demo_people()
    start, end = stories.RETRIEVAL.span(END)
    filled(start, end, weeks=0)
    create_demo_incidents(END)
    assert (create_demo_telling(), create_demo_telling()) == (6, 0)
    found = snapshot(timezone.now())
    assert [one["state"] for one in found["components"]] == ["operational"] * 4
    assert {one["title"] for one in found["incidents"]} == {
        "Answers may be slow or missing",
        "Answers may lack sources or be less precise",
    }
    assert not any("[" in update["text"] for one in found["incidents"] for update in one["updates"])
