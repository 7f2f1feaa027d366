"""The rules that come with the desk: complete, installed once, quiet on a healthy week, awake for the stories."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from django.utils import timezone

from accounts.actions import create_team
from accounts.demo import create_demo_teams
from accounts.models import Team
from incidents.actions.evaluation import evaluate
from incidents.actions.shipped_rules import install_rules, shipped_rules
from incidents.models import Alert, AlertRule, Incident
from incidents.queries.backtests import TESTED, backtest
from incidents.queries.storms import notifications
from incidents.rules.alert_rules import LONGEST_GAP
from incidents.triage import assess_incident
from usage import partitions
from usage.actions import record_events
from usage.demo import load, stories
from usage.demo.changes import markers
from usage.metrics import CATALOGUE, DIMENSION_NAMES
from usage.models import ChangeMarker
from usage.replay.servegen import ServeGen
from usage.replay.shift import TimeShift
from usage.rollups import drain

TRACES = Path(__file__).resolve().parents[1] / "../shared/data/llm_traces"
WEEK = timedelta(weeks=1)


@pytest.mark.parametrize("slug", sorted(shipped_rules()))
def test_a_shipped_rule_names_what_exists(slug):
    told = shipped_rules()[slug]
    assert told["runbook"] and told["first_mitigation"]
    assert set(told.get("breakdown", [])) <= set(DIMENSION_NAMES)
    assert told.get("kind", "threshold") not in ("threshold", "baseline") or told["metric"] in CATALOGUE


@pytest.mark.django_db
def test_they_are_installed_once_and_what_was_edited_is_left_alone():
    assert install_rules() == 0
    AlertRule.objects.filter(slug="error-rate-high").update(threshold="0.2", version=2)
    AlertRule.objects.filter(slug="no-success").update(name="Old name")
    AlertRule.objects.filter(slug="canary").delete()
    assert install_rules() == 2
    assert AlertRule.objects.get(slug="error-rate-high").threshold == Decimal("0.2")


@pytest.mark.django_db
def test_every_rule_of_the_pack_has_its_runbook_section_and_is_active():
    assert AlertRule.objects.filter(slug__in=shipped_rules(), is_active=True).count() == len(shipped_rules())


# --- The stories of the demo ------------------------------------------------------------------------------------
def friday_afternoon() -> datetime:
    """The last one: stories of the demo count back from here and lie on working days."""
    now = timezone.now().astimezone(UTC)
    moment = now.replace(hour=15, minute=0, second=0, microsecond=0)
    moment -= timedelta(days=(moment.weekday() - 4) % 7)
    return moment if moment <= now else moment - WEEK


END = friday_afternoon()


def lived_through(
    story: stories.Story,
    team: str,
    lead: timedelta,
    last: timedelta,
    *,
    window_end: datetime = END,
    most: timedelta = timedelta(hours=4),
    volume: float = 3,
) -> Team:
    """The demo's events of a team from `lead` before the story to its end, at the latest after `most`, its rules
    evaluated through the `last` part, so that what fires is what would have fired."""
    one = next(team_ for team_ in create_demo_teams() if team_.slug == team)
    partitions.ensure(timezone.now())
    start, end = story.span(window_end)
    end = min(end, start + most)
    filled = {"team": one, "window_end": window_end, "volume": volume}
    load.fill(since=start - lead, until=end, **filled)
    load.fill(since=start - WEEK - timedelta(hours=3), until=end - WEEK, **filled)
    known = [ChangeMarker(**told | {"team": one}) for told in markers(window_end) if told["team"] == team]
    ChangeMarker.objects.bulk_create(known)
    drain()
    moment = end - last
    while moment < end:
        evaluate(moment)
        moment += LONGEST_GAP
    return one


def triaged(incident: Incident, story: stories.Story) -> tuple[str, dict[str, list[str]]]:
    """The failure mode that triage ranks first when the story has been going on for a while, and the blast radius."""
    start, end = story.span(END)
    found = assess_incident(incident, (incident.team_id,), min(end, start + timedelta(hours=4)))
    return found.first.mode.value, found.radius.values


def fired() -> set[str]:
    return set(Alert.objects.exclude(rule=None).values_list("rule__slug", flat=True))


@pytest.mark.django_db(transaction=True)
def test_the_outage_of_a_provider_becomes_an_incident_about_that_provider():
    team = lived_through(stories.OUTAGE, "search", timedelta(hours=1), timedelta(minutes=6))
    incident = Incident.objects.get(team=team)
    assert incident.failure_mode == "provider"
    assert incident.scope == {"environment": ["prod"], "provider": ["openai"]}
    assert incident.severity == 2
    assert triaged(incident, stories.OUTAGE) == ("provider", {"provider": ["openai"]})


@pytest.mark.django_db(transaction=True)
def test_empty_retrieval_becomes_an_incident_of_retrieval():
    team = lived_through(stories.RETRIEVAL, "search", timedelta(hours=1), timedelta(minutes=9))
    assert "empty-retrieval" in fired()
    incident = Incident.objects.get(team=team)
    assert (incident.failure_mode, incident.scope["feature"]) == ("retrieval", ["answer-box"])
    assert triaged(incident, stories.RETRIEVAL) == ("retrieval", {"feature": ["answer-box", "site-search"]})


@pytest.mark.django_db(transaction=True)
def test_a_bloated_prompt_becomes_an_incident_whose_cause_is_left_to_triage():
    team = lived_through(stories.BLOAT, "support", timedelta(hours=0), timedelta(minutes=36))
    assert "token-spike" in fired()
    incident = Incident.objects.get(team=team)
    assert (incident.failure_mode, incident.scope["feature"]) == ("", ["answer-drafting"])
    found = triaged(incident, stories.BLOAT)
    assert found == ("prompt", {"feature": ["answer-drafting"], "prompt_version": ["v14"]})


@pytest.mark.django_db(transaction=True)
def test_a_bloated_prompt_becomes_an_incident_on_a_quiet_weekend_too():
    monday = END - timedelta(days=4)  # so that the story begins on a Saturday
    facts = {"window_end": monday, "most": timedelta(hours=30), "volume": 1}
    team = lived_through(stories.BLOAT, "support", timedelta(hours=0), timedelta(minutes=36), **facts)
    assert "token-spike-slow" in fired()
    assert Incident.objects.get(team=team).scope["feature"] == ["answer-drafting"]


# --- A healthy fortnight ----------------------------------------------------------------------------------------
@pytest.mark.skipif(not TRACES.exists(), reason="../shared/data/llm_traces is not there")
@pytest.mark.django_db(transaction=True)
def test_a_healthy_week_of_real_traffic_pages_at_most_twice(db):
    partitions.ensure(timezone.now())
    team = create_team(slug="trace", name="Trace")
    trace = ServeGen(TRACES / "servegen_requests.csv.gz", events=6_000, seed="aiops", teams=1)
    parts = trace.slices(TimeShift(trace.end, time.time() - 60), "t")
    events = [msgspec.json.decode(line) for part in parts for line in part.lines]
    for first in range(0, len(events), 1000):
        record_events(team=team, environment="", api_key_id=None, events=events[first : first + 1000])
    drain()
    paging = AlertRule.objects.filter(is_shipped=True, route="page", kind__in=TESTED)
    tried = [(rule, backtest(rule, [team.pk], timezone.now(), days=7)) for rule in paging]
    assert len(tried) >= 8
    assert notifications(tried) <= 2
