"""A provider that fails for several teams: one incident that leads, a part for each team, one page."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from accounts.actions import Author
from accounts.models import AuditEntry, Team
from incidents.actions.alerts import Raised, begin, resolve
from incidents.actions.incidents import acknowledge, edit_incident, move_incident
from incidents.models import AlertRule, Delivery, Escalation, EscalationPolicy, EscalationStep, Incident
from tests.alerting import BOT, make_channel, make_rule
from tests.test_alert_groups import rule_alert
from tests.test_notifying import make_rota

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def rule(cast) -> AlertRule:
    return make_rule(runbook="provider-outage", options={"declare": 2}, breakdown=["provider"])


def minutes(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def fires(rule: AlertRule, team: Team, provider: str = "openai", at: datetime = NOON, **labels) -> Incident:
    """The incident of the team that the rule's alert about the provider declares."""
    alert = rule_alert(rule, team, provider, at, provider=provider, **labels)
    return Incident.objects.get(alert_groups=alert.group_id)


def lead_of(incident: Incident) -> Incident | None:
    incident.refresh_from_db()
    return incident.part_of


def test_the_second_team_makes_an_incident_of_the_organisation_that_leads_both(cast, rule):
    first = fires(rule, cast.support)
    assert lead_of(first) is None and Incident.objects.count() == 1
    second = fires(rule, cast.search, at=minutes(3))
    lead = lead_of(first)
    assert lead is not None and lead == lead_of(second) and Incident.objects.count() == 3
    assert (lead.team, lead.severity, lead.failure_mode) == (None, 2, "provider")
    assert (lead.scope, lead.impact_started_at) == ({"provider": ["openai"]}, NOON)
    assert lead.title == "openai: Provider outage, several teams"
    assert AuditEntry.objects.filter(action="incident.join").count() == 2
    told = [entry.text for entry in lead.timeline.all()]
    assert f"{first.number} of Support AI is a part of it" in told
    assert first.timeline.filter(text__startswith=f"Part of {lead.number}").count() == 1


def test_teams_that_fire_in_the_same_evaluation_and_later_ones_join_too(cast, rule):
    third = Team.objects.create(slug="third", name="Third")
    facts = {"severity": "critical", "route": "page", "title": "openai", "runbook": rule.runbook_section.key}
    facts |= {"at": NOON, "labels": {"provider": "openai"}, "rule_id": rule.pk}
    begin(
        [
            Raised("rule", f"{rule.pk}:{team.pk}:", team.pk, **facts)
            for team in (cast.support, cast.search)
        ],
        NOON,
    )  # fmt: skip
    assert Incident.objects.filter(team=None).count() == 1
    assert lead_of(fires(rule, third, at=minutes(90))) == Incident.objects.get(team=None)


def test_another_provider_another_cause_or_another_hour_is_an_incident_of_its_own(cast, rule):
    fires(rule, cast.support)
    assert lead_of(fires(rule, cast.search, "azure", at=minutes(1))) is None
    slow = make_rule(runbook="latency", options={"declare": 2}, breakdown=["provider"])
    assert lead_of(fires(slow, cast.search, at=minutes(2))) is None
    third = Team.objects.create(slug="third", name="Third")
    assert lead_of(fires(rule, third, at=minutes(45))) is None
    assert not Incident.objects.filter(team=None).exists()


def test_a_drill_and_a_private_incident_stay_by_themselves(cast, rule):
    fires(rule, cast.support, environment="drill")
    private = fires(rule, cast.search)
    Incident.objects.filter(pk=private.pk).update(is_private=True)
    third = Team.objects.create(slug="third", name="Third")
    assert lead_of(fires(rule, third, at=minutes(1))) is None
    assert not Incident.objects.filter(team=None).exists()


def shared_on_call(cast) -> None:
    make_channel()
    rota = make_rota(None, cast.ada)
    policy = EscalationPolicy.objects.create(team=None)
    EscalationStep.objects.create(policy=policy, position=1, rota=rota)


def test_who_shares_on_call_is_paged_once_and_reads_a_line_of_the_others(cast, rule):
    shared_on_call(cast)
    first = fires(rule, cast.support)
    second = fires(rule, cast.search, at=minutes(2))
    pages = Delivery.objects.filter(route="page")
    assert [one.team for one in pages] == [cast.support] and Escalation.objects.count() == 1
    lead = lead_of(first)
    lines = list(Delivery.objects.filter(route="ticket").order_by("pk").values_list("title", flat=True))
    assert lines == [f"{lead}".replace(" ", ": ", 1), f"{second.number} is a part of {lead.number}: {rule.name} openai"]
    fires(rule, cast.search, at=minutes(3))
    assert Delivery.objects.count() == 3


def test_a_team_with_people_of_its_own_is_paged_all_the_same(cast, rule):
    shared_on_call(cast)
    make_rota(cast.search, cast.stan)
    fires(rule, cast.support)
    fires(rule, cast.search, at=minutes(2))
    assert {one.team for one in Delivery.objects.filter(route="page")} == {cast.support, cast.search}


def test_a_team_with_a_channel_of_its_own_is_paged_there(cast, rule):
    shared_on_call(cast)
    own = make_channel(cast.search)
    fires(rule, cast.support)
    fires(rule, cast.search, at=minutes(2))
    assert Delivery.objects.filter(route="page", channel=own).count() == 1


def test_what_was_only_a_line_ends_as_a_line(cast, rule):
    shared_on_call(cast)
    fires(rule, cast.support)
    fires(rule, cast.search, at=minutes(2))
    resolve("rule", [f"{rule.pk}:{cast.search.pk}:openai"], minutes(20))
    assert Delivery.objects.get(kind="resolved").route == "ticket"


def test_the_lead_is_acknowledged_and_moved_on_with_its_parts(cast, rule):
    first, second = fires(rule, cast.support), fires(rule, cast.search, at=minutes(2))
    lead, ada = lead_of(first), Author(user=cast.ada)
    acknowledge(author=ada, incident=lead, at=minutes(4))
    move_incident(author=ada, incident=second, to="resolved", at=minutes(6))
    move_incident(author=ada, incident=lead, to="mitigating", at=minutes(8))
    for part in (first, second):
        part.refresh_from_db()
    assert first.acknowledged_at == second.acknowledged_at == minutes(4)
    assert (first.state, second.state) == ("mitigating", "resolved")
    move_incident(author=ada, incident=lead, to="resolved", at=minutes(30))
    first.refresh_from_db()
    assert first.resolved_at == minutes(30)


def test_a_part_that_is_worked_on_leaves_the_others_alone(cast, rule):
    first, second = fires(rule, cast.support), fires(rule, cast.search, at=minutes(2))
    move_incident(author=Author(user=cast.olu), incident=first, to="resolved", at=minutes(6))
    second.refresh_from_db()
    assert second.state == "declared" and lead_of(first).is_open


def test_after_the_lead_is_over_the_next_outage_begins_anew(cast, rule):
    first, _ = fires(rule, cast.support), fires(rule, cast.search, at=minutes(2))
    old = lead_of(first)
    move_incident(author=BOT, incident=old, to="resolved", at=minutes(30))
    for team in (cast.support, cast.search):
        resolve("rule", [f"{rule.pk}:{team.pk}:openai"], minutes(31))
    again = fires(rule, cast.support, at=minutes(300))
    assert lead_of(again) is None
    assert lead_of(fires(rule, cast.search, at=minutes(301))) not in (None, old)


def test_a_team_reads_nothing_of_the_other_and_the_organisation_sees_all(client, cast, rule):
    first, second = fires(rule, cast.support), fires(rule, cast.search, at=minutes(2))
    lead = lead_of(first)
    client.force_login(cast.vera)
    text = client.get(reverse("incident-detail", args=[first.pk])).content.decode()
    assert f"{lead.number} stands for all of them" in text
    assert cast.search.name not in text and second.number not in text
    for hidden in (lead, second):
        assert client.get(reverse("incident-detail", args=[hidden.pk])).status_code == 404
    assert lead.title not in client.get(reverse("incident-list")).content.decode()
    client.force_login(cast.ada)
    text = client.get(reverse("incident-detail", args=[lead.pk])).content.decode()
    assert str(first) in text and str(second) in text
    text = client.get(reverse("incident-detail", args=[first.pk])).content.decode()
    assert f'Part of <a href="{reverse("incident-detail", args=[lead.pk])}"' in text and str(second) in text
    assert f"part of {lead.number}" in client.get(reverse("incident-list")).content.decode()


def test_a_part_that_becomes_private_is_moved_and_shown_by_nobody_else(client, cast, rule):
    first, second = fires(rule, cast.support), fires(rule, cast.search, at=minutes(2))
    lead = lead_of(first)
    second.refresh_from_db()
    facts = {name: getattr(second, name) for name in ("title", "severity", "summary", "scope", "impact_started_at")}
    author = Author(user=cast.stan)
    edit_incident(
        author=author,
        incident=second,
        version=second.version,
        at=minutes(3),
        team=cast.search,
        is_private=True,
        **facts,
    )
    move_incident(author=Author(user=cast.ada), incident=lead, to="mitigating", at=minutes(5))
    second.refresh_from_db()
    assert second.state == "declared"
    client.force_login(cast.emil)
    text = client.get(reverse("incident-detail", args=[lead.pk])).content.decode()
    assert f"{first}" in text and f"{second}" not in text
