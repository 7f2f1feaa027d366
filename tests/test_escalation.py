"""A page climbs: level by level, until somebody acknowledges, it is over, or nobody is left."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from accounts.actions import Author
from incidents.actions.alerts import acknowledge, raise_alert, resolve_alert
from incidents.actions.escalating import acknowledge as take
from incidents.actions.escalating import evaluate
from incidents.actions.incidents import declare_incident
from incidents.actions.notifying import notify
from incidents.actions.oncall import StepFacts, save_policy
from incidents.actions.roles import give_role
from incidents.models import Alert, Channel, Delivery, Escalation, TimelineEntry
from incidents.seal import seal
from tests.test_notifying import make_channel, make_rota

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def own_channel(user) -> Channel:
    facts = {"kind": "email", "address": seal(user.email), "shown": user.email}
    return Channel.objects.create(user=user, name=f"mail of {user}", **facts)


def climb(cast, rounds=1):
    """Level 1 is whose turn it is (Olu) for 5 minutes, level 2 Tara for 10."""
    rota = make_rota(cast.support, cast.olu)
    steps = [StepFacts(rota, None, 5), StepFacts(None, cast.tara, 10)]
    save_policy(author=Author(cast.ada), team=cast.support, rounds=rounds, steps=steps)
    own_channel(cast.olu)
    own_channel(cast.tara)


def fire(cast, route="page", key="k1") -> Alert:
    facts = {"source_kind": "test", "source_key": key, "runbook": "latency#containment", "severity": "critical"}
    return raise_alert(**facts, team=cast.support, route=route, title="Nothing succeeds", at=NOON)


def paged() -> list[str]:
    return list(Delivery.objects.filter(kind="page").order_by("pk").values_list("channel__user__first_name", flat=True))


@pytest.mark.django_db
def test_a_page_goes_to_who_is_on_call_and_after_the_time_to_the_next_level(cast):
    climb(cast)
    fire(cast)
    assert evaluate(NOON) == 1
    assert paged() == ["Olu"]
    assert evaluate(NOON + 4 * MINUTE) == 0
    assert evaluate(NOON + 5 * MINUTE) == 1
    assert paged() == ["Olu", "Tara"]
    evaluate(NOON + 15 * MINUTE)
    escalation = Escalation.objects.get()
    assert (escalation.next_at, escalation.ended_at) == (None, None)  # it stays on the page until somebody takes it
    assert "Nobody answered" in escalation.history.last().text
    assert [entry.text.split(":")[0] for entry in escalation.history.all()][:2] == [
        "Step 1, round 1",
        "Step 2, round 1",
    ]


@pytest.mark.django_db
def test_rounds_go_through_the_steps_again(cast):
    climb(cast, rounds=2)
    fire(cast)
    for minute in (0, 5, 15, 20, 30):
        evaluate(NOON + minute * MINUTE)
    assert paged() == ["Olu", "Tara", "Olu", "Tara"]


@pytest.mark.django_db
def test_acknowledging_the_alert_stops_it(cast):
    climb(cast)
    alert = fire(cast)
    evaluate(NOON)
    acknowledge(author=Author(cast.olu), alerts=[alert], at=NOON + MINUTE)
    assert evaluate(NOON + 5 * MINUTE) == 0
    escalation = Escalation.objects.get()
    assert (escalation.acknowledged_by, escalation.ended_reason) == (cast.olu, "Olu acknowledged it.")


@pytest.mark.django_db
def test_what_is_over_pages_nobody_further(cast):
    climb(cast)
    fire(cast)
    evaluate(NOON)
    resolve_alert(source_kind="test", source_key="k1", at=NOON + MINUTE)
    assert evaluate(NOON + 5 * MINUTE) == 0
    assert Escalation.objects.get().ended_reason == "Nothing fires any more."


@pytest.mark.django_db
def test_taking_a_page_acknowledges_what_it_is_about_once(cast):
    climb(cast)
    alert = fire(cast)
    evaluate(NOON)
    escalation = Escalation.objects.get()
    assert take(author=Author(cast.olu), escalation=escalation, at=NOON + MINUTE)
    assert not take(author=Author(cast.tara), escalation=escalation, at=NOON + MINUTE)
    alert.refresh_from_db()
    assert alert.acknowledged_by == cast.olu


@pytest.mark.django_db
def test_a_step_that_nobody_can_be_reached_by_does_not_wait(cast):
    rota = make_rota(cast.support, cast.olu)
    cast.olu.is_active = False
    cast.olu.save()
    steps = [StepFacts(rota, None, 30), StepFacts(None, cast.tara, 10)]
    save_policy(author=Author(cast.ada), team=cast.support, rounds=1, steps=steps)
    own_channel(cast.tara)
    fire(cast)
    evaluate(NOON)
    evaluate(NOON)
    assert paged() == ["Tara"]
    assert "nobody is on call" in Escalation.objects.get().history.first().text


@pytest.mark.django_db
def test_who_has_no_channel_is_called_by_name_in_that_of_the_team(cast):
    climb(cast)
    Channel.objects.all().delete()
    room = make_channel("room", team=cast.support)
    fire(cast)
    evaluate(NOON)
    assert Delivery.objects.get(channel=room, kind="page").title == "For Olu: Nothing succeeds"


@pytest.mark.django_db
def test_who_has_only_a_dead_channel_is_called_in_that_of_the_team_too(cast):
    climb(cast)
    Channel.objects.filter(user=cast.olu).update(dead_since=NOON)
    room = make_channel("room", team=cast.support)
    fire(cast)
    evaluate(NOON)
    assert Delivery.objects.filter(kind="page").count() == 2
    assert Delivery.objects.get(channel=room, kind="page").title == "For Olu: Nothing succeeds"


@pytest.mark.django_db
def test_two_workers_at_once_take_a_step_once_and_tickets_do_not_climb(cast):
    climb(cast)
    fire(cast, route="ticket", key="k2")
    assert not Escalation.objects.exists()
    fire(cast)
    evaluate(NOON)
    evaluate(NOON)
    assert paged() == ["Olu"]


@pytest.mark.django_db
def test_every_step_stands_in_the_timeline_of_the_incident(cast):
    climb(cast)
    incident = declare_incident(author=Author(), team=cast.support, title="Down", severity=1, at=NOON)
    facts = {"severity": "critical", "route": "page", "title": "Down", "body": "", "url": "/", "key": "incident:1"}
    notify(kind="incident", team=cast.support, incident=incident, at=NOON, **facts)
    evaluate(NOON)
    take(author=Author(cast.olu), escalation=Escalation.objects.get(), at=NOON + MINUTE)
    texts = TimelineEntry.objects.filter(incident=incident, text__startswith="On call:").values_list("text", flat=True)
    assert [text.split(" ")[2] for text in texts] == ["Step", "Olu"]
    incident.refresh_from_db()
    assert incident.acknowledged_at == NOON + MINUTE


@pytest.mark.django_db
def test_without_a_policy_nothing_climbs(cast):
    fire(cast)
    assert not Escalation.objects.exists()


@pytest.mark.django_db
def test_who_sees_a_private_incident_takes_its_page_on_call_and_nobody_else_is_shown_it(client, cast):
    climb(cast)
    facts = {"author": Author(user=cast.tara), "team": cast.support, "severity": 1, "at": NOON}
    incident = declare_incident(title="Keys leaked", is_private=True, **facts)
    notify(kind="incident", team=cast.support, severity="critical", route="page", title="SEV1 declared", body="",
           url="", key="i", at=NOON, incident=incident)  # fmt: skip
    url = reverse("escalation-acknowledge", args=[Escalation.objects.get().pk])
    for user, answer in ((cast.olu, 404), (cast.sam, 403)):
        client.force_login(user)
        shown = incident.number in client.get(reverse("oncall")).content.decode()
        assert (shown, client.post(url).status_code) == (answer == 403, answer)
    give_role(author=Author(user=cast.tara), incident=incident, role="operations", user=cast.olu, at=NOON)
    client.force_login(cast.olu)
    assert 'Acknowledge<span class="sr"> SEV1 declared' in client.get(reverse("oncall")).content.decode()
    assert client.post(url).status_code == 302
    incident.refresh_from_db()
    assert incident.acknowledged_at is not None
    assert Escalation.objects.get().acknowledged_by == cast.olu
