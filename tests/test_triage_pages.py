"""Triage of an incident on its page: what is shown, who decides, mitigations that the guard follows at once."""

from datetime import datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from incidents.actions import raise_alert
from incidents.actions.incidents import declare_incident
from incidents.actions.triage import Plan, mitigate
from incidents.models import Control, Incident, TimelineEntry
from tests.cast import bearer
from tests.traffic import record
from usage.models import ChangeMarker
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)


def minute() -> datetime:
    return timezone.now().replace(second=0, microsecond=0)


@pytest.fixture
def now(cast) -> datetime:
    """Openai fails since half an hour, as team support sees it; anthropic answers."""
    at = minute()
    for back in (timedelta(hours=3), timedelta(weeks=1)):
        for provider in ("openai", "anthropic"):
            record(cast.support, at - back, 60, provider=provider, model=f"{provider}-model")
    failed = {"status": "error", "error_type": "provider_5xx", "http_status": 503, "input_tokens": None}
    failed |= {"output_tokens": None, "cached_input_tokens": None}
    for ago in (25, 20, 15):
        start = at - timedelta(minutes=ago)
        record(cast.support, start, 12, provider="openai", model="openai-model", **failed)
        record(cast.support, start + timedelta(seconds=1), 8, provider="openai", model="openai-model")
        record(cast.support, start + timedelta(seconds=2), 20, provider="anthropic", model="anthropic-model")
    drain()
    return at


@pytest.fixture
def incident(cast, now) -> Incident:
    return declare_incident(
        author=Author(label="a test"),
        team=cast.support,
        title="Calls fail",
        severity=2,
        at=now - timedelta(minutes=20),
        impact_started_at=now - timedelta(minutes=30),
    )


def page(client, name: str, incident: Incident, **more) -> str:
    response = client.get(reverse(f"incident-{name}", args=[incident.pk]), more)
    assert response.status_code == 200
    return response.content.decode()


def offer(client, incident: Incident, key: str) -> str:
    """The token of a mitigation as the page has it."""
    response = client.get(reverse("incident-mitigations", args=[incident.pk]))
    return next(one["token"] for one in response.context["offers"] if one["one"].key == key)


def put(client, incident: Incident, key: str, **more):
    data = {"token": offer(client, incident, key), "lasts": "60", "reason": "They are down"} | more
    return client.post(reverse("incident-mitigations", args=[incident.pk]), data)


def test_the_panel_ranks_the_provider_first_with_numbers_and_who_is_not_hit(client, cast, incident):
    client.force_login(cast.vera)
    text = page(client, "triage", incident)
    assert "Provider outage or degradation" in text and "provider openai" in text
    assert "60 % of 60 model calls fail, usually 0.0 %" in text
    assert "anthropic" in text and "This is it" not in text


def test_a_decision_keeps_its_evidence_and_can_be_taken_back(client, cast, incident, now):
    client.force_login(cast.olu)
    url = reverse("incident-triage", args=[incident.pk])
    client.post(url, {"mode": "provider", "version": "1"})
    incident.refresh_from_db()
    assert (incident.failure_mode, incident.state) == ("provider", "triaging")
    entry = incident.timeline.get(kind=TimelineEntry.Kind.TRIAGE)
    assert entry.author == cast.olu and entry.data["triage"]["radius"]["values"] == {"provider": ["openai"]}
    record(cast.support, now - timedelta(minutes=2), 300, provider="openai", model="openai-model")
    drain()
    assert "60 % of 60 model calls fail" in client.get(entry.url).content.decode()
    assert AuditEntry.objects.filter(action="incident.triage", actor=cast.olu).exists()
    client.post(url, {"mode": ""})
    incident.refresh_from_db()
    assert incident.failure_mode == ""
    assert "60 % of 60 model calls fail" in client.get(entry.url).content.decode()


def test_a_decision_against_the_evidence_says_so(client, cast, incident):
    client.force_login(cast.olu)
    client.post(reverse("incident-triage", args=[incident.pk]), {"mode": "tool"})
    text = incident.timeline.get(kind=TimelineEntry.Kind.TRIAGE).text
    assert "against Provider outage or degradation, which the evidence ranks first" in text


def test_a_decision_on_an_outdated_page_changes_nothing(client, cast, incident):
    client.force_login(cast.olu)
    url = reverse("incident-triage", args=[incident.pk])
    client.post(url, {"mode": "provider", "version": "1"})
    client.post(url, {"mode": "tool", "version": "1"})
    incident.refresh_from_db()
    assert incident.failure_mode == "provider"


def test_who_may_only_look_decides_and_sets_nothing(client, cast, incident):
    client.force_login(cast.olu)
    token = offer(client, incident, "failover:openai")
    client.force_login(cast.vera)
    assert client.post(reverse("incident-triage", args=[incident.pk]), {"mode": "tool"}).status_code == 403
    assert client.post(reverse("incident-mitigations", args=[incident.pk]), {"token": token}).status_code == 403
    client.force_login(cast.stan)
    for name in ("triage", "mitigations", "watch"):
        assert client.get(reverse(f"incident-{name}", args=[incident.pk])).status_code == 404


def test_a_mitigation_is_in_the_guards_next_answer_and_its_undo_too(client, cast, incident, support_key):
    def asked() -> dict:
        call = {"provider": "openai", "model": "gpt-4o", "input_tokens": 10, "max_output_tokens": 10}
        return client.post(
            "/api/v1/guard/reserve", call, content_type="application/json", headers=bearer(support_key)
        ).json()

    client.force_login(cast.olu)
    assert asked()["provider"] == "openai"
    put(client, incident, "failover:openai")
    answer = asked()
    assert (answer["decision"], answer["provider"], answer["reason"]["code"]) == ("degrade", "anthropic", "failover")
    control = Control.objects.get()
    assert (control.origin, control.origin_key) == ("incident", f"incident:{incident.pk}")
    assert timedelta(minutes=59) < control.expires_at - control.created_at <= timedelta(hours=1)
    incident.refresh_from_db()
    assert incident.state == "mitigating"
    client.post(reverse("incident-mitigation-end", args=[incident.pk, control.pk]))
    assert asked()["provider"] == "openai"
    told = incident.timeline.filter(kind=TimelineEntry.Kind.MITIGATION).values_list("source_key", flat=True)
    assert list(told) == [f"control:{control.pk}:set", f"control:{control.pk}:ended"]


def test_an_offer_that_was_tampered_with_or_is_of_another_incident_does_nothing(client, cast, incident):
    other = declare_incident(
        author=Author(label="a test"), team=cast.support, title="Other", severity=3, at=timezone.now()
    )
    client.force_login(cast.olu)
    token = offer(client, incident, "failover:openai")
    for at, text in ((incident, token[:-2] + "xx"), (other, token)):
        response = client.post(reverse("incident-mitigations", args=[at.pk]), {"token": text}, follow=True)
        assert "offer" in response.content.decode()
    assert not Control.objects.exists()


def test_a_step_told_leaves_a_change_marker_and_is_watched(client, cast, incident, now):
    ChangeMarker.objects.create(
        team=cast.support, at=now - timedelta(minutes=26), kind="prompt", title="answers v2", feature="answers"
    )
    client.force_login(cast.olu)
    response = client.get(reverse("incident-mitigations", args=[incident.pk]), {"mode": "prompt"})
    step = next(one for one in response.context["offers"] if one["one"].kind == "step")
    data = {"token": step["token"], "reason": "Back to v1"}
    client.post(reverse("incident-mitigations", args=[incident.pk]), data)
    marker = ChangeMarker.objects.get(title__startswith="Roll-back")
    assert (marker.kind, marker.team, marker.description) == ("prompt", cast.support, "Back to v1")
    assert "Take back “answers v2”" in page(client, "watch", incident)


def test_the_watch_panel_says_when_it_helped_and_to_end_what_is_in_force(client, cast, incident, now):
    client.force_login(cast.olu)
    put(client, incident, "failover:openai")
    assert "Too early" in page(client, "watch", incident)
    move_back(incident, now - timedelta(minutes=10))
    record(cast.support, now - timedelta(minutes=5), 150, provider="anthropic", model="anthropic-model")
    drain()
    text = page(client, "watch", incident)
    assert "Helped" in text and "Failed model calls 30 % → 0.0 % in 1" in text
    assert "back to its usual" in text and "End it" in text


def test_what_is_in_force_is_not_offered_again_until_it_has_ended(client, cast, incident):
    client.force_login(cast.olu)
    url = reverse("incident-mitigations", args=[incident.pk])
    put(client, incident, "failover:openai")
    assert "failover:openai" not in [one["one"].key for one in client.get(url).context["offers"]]
    client.post(reverse("incident-mitigation-end", args=[incident.pk, Control.objects.get().pk]))
    assert "failover:openai" in [one["one"].key for one in client.get(url).context["offers"]]


def test_while_it_is_too_early_to_tell_nobody_is_told_to_end_what_is_in_force(client, cast, incident, now):
    client.force_login(cast.olu)
    put(client, incident, "failover:openai")
    move_back(incident, now - timedelta(minutes=10))
    record(cast.support, now - timedelta(minutes=5), 11, provider="anthropic", model="anthropic-model")
    drain()
    text = page(client, "watch", incident)
    assert "Too early" in text and "back to its usual" not in text


def test_a_switch_that_leaves_nothing_to_count_has_stopped_it(client, cast, incident, now):
    client.force_login(cast.olu)
    switch = Plan("Switch the calls off", "control", "calls_fail", what={"kind": "kill_switch"}, team=cast.support)
    mitigate(author=Author(user=cast.olu), incident=incident, plan=switch, reason="x", expires_at=None, at=now)
    assert "Stopped" not in page(client, "watch", incident)
    move_back(incident, now - timedelta(minutes=10))
    text = page(client, "watch", incident)
    assert "Stopped" in text and "no model calls any more" in text


def move_back(incident: Incident, at: datetime) -> None:
    """As if the mitigation had been set at `at`."""
    incident.timeline.filter(kind=TimelineEntry.Kind.MITIGATION).update(at=at)
    Control.objects.update(created_at=at)


def test_any_window_can_be_triaged_and_becomes_an_incident(client, cast, now):
    client.force_login(cast.olu)
    response = client.get(reverse("triage-window"), {"range": "1h"})
    text = response.content.decode()
    assert "Provider outage or degradation" in text and "Fail openai over to anthropic" in text
    declare = response.context["declare_url"]
    assert "provider=openai" in declare and "title=Provider" in declare
    assert client.get(declare).status_code == 200


def test_an_empty_desk_has_nothing_that_stands_out(client, cast):
    client.force_login(cast.olu)
    text = client.get(reverse("triage-window")).content.decode()
    assert "Nothing stands out" in text and "there are no earlier figures" in text


def test_an_alert_and_the_incident_view_lead_to_triage_of_their_window(client, cast, now):
    alert = raise_alert(
        source_kind="test",
        source_key="one",
        team=cast.support,
        severity="critical",
        route="page",
        title="Calls fail",
        runbook="provider-outage#detection",
        at=now - timedelta(minutes=15),
        labels={"provider": "openai", "rule": "x"},
    )
    client.force_login(cast.olu)
    assert reverse("triage-alert", args=[alert.pk]) in client.get(reverse("alert-list")).content.decode()
    response = client.get(reverse("triage-alert", args=[alert.pk]), follow=True)
    assert response.context["scope"].filters == {"provider": ("openai",)}
    assert "Provider outage or degradation" in response.content.decode()
    assert "Triage this window" in client.get(reverse("incident")).content.decode()
    client.force_login(cast.stan)
    assert client.get(reverse("triage-alert", args=[alert.pk])).status_code == 404
