"""Triage of drills: soon after the fault began its failure mode is ranked first, and controls stay in the drill."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from incidents.actions.incidents import declare_incident
from incidents.models import Control
from incidents.rules.drills import SCENARIOS
from incidents.triage import assess_incident, mitigations
from incidents.triage.window import scope_of
from tests.test_drills import advance, started

pytestmark = pytest.mark.django_db(transaction=True)


# The others are ranked first too: the loop below; the signatures of three are in tests/test_triage_stories.py.
@pytest.mark.parametrize("scenario", ["latency", "quality-drop"])
def test_the_failure_mode_of_a_drill_is_ranked_first(client, cast, scenario):
    drill = started(cast, scenario, ago=timedelta(minutes=12))
    advance(drill)
    incident = declare_incident(
        author=Author(user=cast.olu),
        team=cast.support,
        title="Drill",
        severity=2,
        at=timezone.now(),
        impact_started_at=drill.fault_at,
        is_drill=True,
    )
    found = assess_incident(incident, (cast.support.pk,), timezone.now())
    assert found.first.mode == SCENARIOS[scenario].truth and found.confidence != "none"


def test_a_loop_is_ranked_first_and_emergency_mode_is_watched_by_the_calls_a_minute(cast):
    drill = started(cast, "token-loop", ago=timedelta(minutes=18))
    advance(drill)
    facts = {"author": Author(user=cast.olu), "team": cast.support, "title": "Drill", "severity": 2, "is_drill": True}
    incident = declare_incident(at=timezone.now(), impact_started_at=drill.fault_at, **facts)
    found = assess_incident(incident, (cast.support.pk,), timezone.now())
    assert (found.first.mode, found.confidence) == (SCENARIOS["token-loop"].truth, "clear")
    one = next(one for one in mitigations(found, "cost", scope_of(incident)) if one.key.startswith("emergency"))
    assert (one.what, one.where["feature"]) == ({"kind": "mode", "mode": "emergency"}, "drill-agent")
    calls, minutes = one.usual
    assert one.signal == "load"
    assert 15 < calls / minutes < 25  # ten requests a minute, each with a call before and after its tool


def test_a_mitigation_of_a_drill_stays_in_its_environment(client, cast):
    drill = started(cast, ago=timedelta(minutes=10))
    advance(drill)
    incident = declare_incident(
        author=Author(user=cast.olu), team=cast.support, title="Drill", severity=2, at=timezone.now(), is_drill=True,
        impact_started_at=drill.fault_at,
    )  # fmt: skip
    client.force_login(cast.olu)
    url = reverse("incident-mitigations", args=[incident.pk])
    offers = client.get(url).context["offers"]
    assert all(one["one"].where.get("environment") == "drill" for one in offers if one["one"].kind == "control")
    client.post(url, {"token": offers[0]["token"], "lasts": "60", "reason": "Drill"})
    assert Control.objects.get().environment == "drill"
    text = client.get(reverse("incident-triage", args=[incident.pk])).content.decode()
    assert "<strong>provider openai</strong>" in text
