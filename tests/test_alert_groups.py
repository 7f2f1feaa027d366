"""Groups of alerts: what has one cause is told once, has one incident, and ends together."""

from datetime import UTC, datetime, timedelta

import pytest

from incidents.actions import raise_alert, resolve_alert
from incidents.actions.alerts import Raised, acknowledge, begin, take_turn
from incidents.actions.grouping import attach, refresh_muting
from incidents.actions.incidents import declare_incident
from incidents.models import Alert, AlertGroup, AlertRule, Incident, Silence, TimelineEntry
from tests.alerting import BOT, make_rule

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def minutes(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def budget_alert(key: str, team=None, at: datetime = NOON, **more) -> Alert:
    facts = {"severity": "warning", "route": "ticket", "title": f"Budget {key}", "runbook": "cost-spike#containment"}
    return raise_alert(source_kind="other", source_key=key, team=team, at=at, **facts | more)


def rule_alert(rule: AlertRule, team, key: str = "", at: datetime = NOON, **labels) -> Alert:
    return begin(
        [
            Raised(
                "rule",
                f"{rule.pk}:{team.pk}:{key}",
                team.pk,
                rule.severity,
                rule.route,
                f"{rule.name} {key}".strip(),
                rule.runbook_section.key,
                at,
                labels=labels,
                rule_id=rule.pk,
            )
        ],
        at,
    )[0]


def test_alerts_of_one_team_and_runbook_are_one_group(cast):
    first, second = budget_alert("1", cast.support), budget_alert("2", cast.support)
    other = budget_alert("3", cast.support, runbook="latency#containment")
    assert first.group_id == second.group_id != other.group_id


def test_another_teams_alerts_are_another_group(cast):
    assert budget_alert("1", cast.support).group_id != budget_alert("2", cast.search).group_id


def test_alerts_of_the_organisation_share_a_group(cast):
    assert budget_alert("1").group_id == budget_alert("2").group_id


def test_a_child_rules_alert_joins_the_group_of_its_parent(cast):
    parent = make_rule(runbook="provider-outage")
    child = make_rule(runbook="latency", parent=parent)
    assert rule_alert(parent, cast.support).group_id == rule_alert(child, cast.support).group_id


def test_a_group_closes_with_its_last_alert_and_the_next_alert_opens_another(cast):
    first, second = budget_alert("1", cast.support), budget_alert("2", cast.support)
    resolve_alert(source_kind="other", source_key="1", at=minutes(1))
    assert AlertGroup.objects.get(pk=first.group_id).closed_at is None
    resolve_alert(source_kind="other", source_key="2", at=minutes(2))
    assert AlertGroup.objects.get(pk=second.group_id).closed_at == minutes(2)
    assert budget_alert("1", cast.support, at=minutes(3)).group_id != first.group_id


def test_a_group_is_as_severe_as_its_worst_alert(cast):
    budget_alert("1", cast.support)
    group = budget_alert("2", cast.support, severity="critical", route="page").group
    group.refresh_from_db()
    assert (group.severity, group.route, group.title) == ("critical", "page", "Budget 2")


def test_a_rule_that_declares_makes_one_incident_for_the_group(cast):
    rule = make_rule(runbook="provider-outage", options={"declare": 2}, breakdown=["provider"])
    first = rule_alert(rule, cast.support, "openai", provider="openai")
    rule_alert(rule, cast.support, "azure", provider="azure")
    incident = Incident.objects.get()
    assert (incident.severity, incident.team, incident.failure_mode) == (2, cast.support, "provider")
    assert incident.scope == {"provider": ["openai"]}
    assert AlertGroup.objects.get(pk=first.group_id).incident == incident


def test_beginning_and_end_of_every_alert_stand_once_in_the_incidents_timeline(cast):
    rule = make_rule(options={"declare": 2})
    alert = rule_alert(rule, cast.support)
    rule_alert(rule, cast.support, at=minutes(1))
    rule_alert(rule, cast.support, "more", at=minutes(1))
    for key in ("", "more"):
        resolve_alert(source_kind="rule", source_key=f"{rule.pk}:{cast.support.pk}:{key}", at=minutes(5))
    told = TimelineEntry.objects.filter(kind="alert").values_list("source_key", flat=True)
    assert {f"alert:{alert.pk}:began", f"alert:{alert.pk}:ended"} <= set(told)
    assert len(told) == 4


def test_an_alert_group_attached_to_an_incident_writes_to_it(cast):
    alert = budget_alert("1", cast.support)
    incident = declare_incident(author=BOT, team=cast.support, title="Costs", severity=3, at=NOON)
    attach(author=BOT, group=alert.group, incident=incident)
    budget_alert("2", cast.support)
    assert incident.timeline.filter(kind="alert").count() == 2


def test_a_silenced_alert_exists_and_says_why_nobody_is_told(cast):
    Silence.objects.create(team=cast.support, reason="Load test", starts_at=NOON, ends_at=minutes(60))
    assert budget_alert("1", cast.support).muted_by == "Silence: Load test"
    assert budget_alert("2", cast.search).muted_by == ""


def test_a_silence_by_label_mutes_what_has_the_label(cast):
    Silence.objects.create(labels={"model": "o3"}, reason="New", starts_at=NOON, ends_at=minutes(60))
    assert budget_alert("1", labels={"model": "o3", "feature": "chat"}).muted_by
    assert not budget_alert("2", labels={"model": "gpt-4o"}).muted_by


def test_when_a_silence_ends_what_still_fires_is_heard(cast):
    Silence.objects.create(reason="Move", is_maintenance=True, starts_at=NOON, ends_at=minutes(60))
    alert = budget_alert("1", cast.support)
    assert alert.muted_by == "Maintenance: Move"
    take_turn()
    assert refresh_muting(minutes(61)) == 1
    alert.refresh_from_db()
    assert alert.muted_by == ""


def test_a_firing_parent_mutes_its_children_about_the_same(cast):
    parent = make_rule(breakdown=["provider"])
    child = make_rule(parent=parent)
    rule_alert(parent, cast.support, "openai", provider="openai")
    assert rule_alert(child, cast.support, "a", provider="openai").muted_by.startswith("Parent: ")
    assert rule_alert(child, cast.support, "b").muted_by.startswith("Parent: ")
    assert rule_alert(child, cast.support, "c", provider="azure").muted_by == ""
    assert rule_alert(child, cast.search, "d", provider="openai").muted_by == ""


def test_a_muted_alert_declares_no_incident(cast):
    Silence.objects.create(reason="Load test", starts_at=NOON, ends_at=minutes(60))
    rule_alert(make_rule(options={"declare": 1}), cast.support)
    assert not Incident.objects.exists()


def test_a_rule_that_stands_for_a_source_decides_severity_route_and_runbook(cast):
    make_rule(kind="budget", options={"source": "other", "when": "warning"}, severity="info", route="report")
    alert = budget_alert("1", cast.support)
    assert (alert.severity, alert.route, alert.runbook) == ("info", "report", "latency#containment")
    assert budget_alert("2", cast.support, severity="critical").severity == "critical"


def test_a_teams_own_rule_goes_before_that_of_all_teams(cast):
    make_rule(kind="anomaly", metric="", options={"source": "other"}, severity="info")
    facts = {"kind": "anomaly", "metric": "", "options": {"source": "other"}, "severity": "critical"}
    own = make_rule(team=cast.support, **facts)
    assert budget_alert("1", cast.support).rule == own


def test_alerts_of_a_rule_that_is_switched_off_are_muted(cast):
    make_rule(kind="budget", options={"source": "other"}, is_active=False)
    assert budget_alert("1", cast.support).muted_by == "Its rule is switched off"


def test_acknowledging_is_kept_once_with_who_and_when(cast):
    alert = budget_alert("1", cast.support)
    author = type(BOT)(user=cast.olu)
    assert acknowledge(author=author, alerts=[alert], at=minutes(2)) == 1
    assert acknowledge(author=author, alerts=[alert], at=minutes(9)) == 0
    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.acknowledged_at) == (cast.olu, minutes(2))
