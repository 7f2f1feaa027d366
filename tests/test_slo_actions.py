"""SLOs are made, edited and archived with their burn rate rules, and never behind somebody's back."""

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry, Team
from incidents.actions.shipped import install_slos
from incidents.actions.slos import save_slo, set_archived
from incidents.demo import create_demo_slos
from incidents.models import AlertRule, Slo
from incidents.queries.slo_evidence import watches
from tests.alerting import make_rule

pytestmark = pytest.mark.django_db


def save(slo=None, version=None, **values):
    facts = {} if slo else {"name": "Answered", "indicator": "success", "target": Decimal("0.999")}
    return save_slo(author=Author(label="test"), slo=slo or Slo(), values=facts | values, version=version)


def rates(slo):
    active = slo.rules.filter(is_active=True)
    return {int(rule.window_seconds / 3600): round(rule.threshold, 2) for rule in active}


def test_an_objective_comes_with_its_four_rules(cast):
    slo = save(team=cast.support, owner=cast.mia)
    assert rates(slo) == {1: Decimal("14.4"), 6: 6, 24: 3, 72: 1}
    rule = slo.rules.get(window_seconds=3600)
    assert (rule.route, rule.team, rule.owner) == ("page", cast.support, cast.mia)
    assert (rule.min_events, rule.clear_seconds) == (100, 900)
    assert rule.options == {"long_seconds": 3600, "short_seconds": 300, "budget_share": "0.02"}
    assert rule.runbook_section.key == "provider-outage#containment"
    assert rule.name == "Answered: 2 % of the error budget in 1 h"


@pytest.mark.parametrize(
    ("indicator", "facts", "section"),
    [
        ("latency", {"limit": 2000}, "latency#containment"),
        ("quality", {"checks": ["policy"]}, "quality-degradation#containment"),
        ("spend", {"limit": Decimal("0.5"), "per": "conversation"}, "cost-spike#containment"),
    ],
    ids=["latency", "quality", "spend"],
)
def test_every_indicator_names_its_runbook(cast, indicator, facts, section):
    slo = save(indicator=indicator, **facts)
    assert {rule.runbook_section.key for rule in slo.rules.all()} == {section}


def test_the_rules_follow_an_edit_and_keep_what_people_changed(cast):
    slo = save()
    slo.rules.filter(window_seconds=3600).update(severity="warning", first_mitigation="Call Mia")
    save(slo, window_days=28, min_events=500, team=cast.support)
    rule = slo.rules.get(window_seconds=3600)
    assert (rule.threshold, rule.min_events, rule.team) == (Decimal("13.44"), 500, cast.support)
    assert (rule.severity, rule.first_mitigation) == ("warning", "Call Mia")


def test_rules_that_could_never_fire_rest_and_come_back(cast):
    slo = save()
    save(slo, target=Decimal("0.9"))
    assert set(rates(slo)) == {6, 24, 72}
    save(slo, target=Decimal("0.999"))
    assert set(rates(slo)) == {1, 6, 24, 72}


def test_a_rule_that_a_person_switched_off_stays_off(cast):
    slo = save()
    slo.rules.filter(window_seconds=3600).update(is_active=False)
    set_archived(author=Author(label="test"), slo=slo, archived=True)
    assert rates(slo) == {}
    set_archived(author=Author(label="test"), slo=slo, archived=False)
    assert set(rates(slo)) == {6, 24, 72}


def test_a_further_rule_of_an_objective_rests_and_moves_with_it(cast):
    slo = save(team=cast.support)
    options = {"long_seconds": 10_800, "short_seconds": 900}
    rule = make_rule(kind="burn_rate", slo=slo, team=cast.support, threshold=10, window_seconds=10_800, options=options)
    (watch,) = [one for one in watches(slo, slo.rules.all(), timezone.now()) if one.rule == rule]
    assert watch.long.events == 0
    set_archived(author=Author(label="test"), slo=slo, archived=True)
    rule.refresh_from_db()
    assert not rule.is_active
    set_archived(author=Author(label="test"), slo=slo, archived=False)
    save(slo=Slo.objects.get(pk=slo.pk), team=cast.search)
    rule.refresh_from_db()
    assert (rule.is_active, rule.team, rule.threshold) == (True, cast.search, 10)


def test_an_edit_of_an_old_version_is_refused(cast):
    slo = save()
    save(slo, version=1, target=Decimal("0.99"))
    with pytest.raises(ValidationError, match="while you edited"):
        save(slo, version=1, target=Decimal("0.95"))
    slo.refresh_from_db()
    assert (slo.target, slo.version) == (Decimal("0.99"), 2)


def test_a_save_without_a_change_writes_nothing(cast):
    slo = save()
    save(slo, version=1, target=Decimal("0.9990"))
    slo.refresh_from_db()
    assert slo.version == 1
    assert not AuditEntry.objects.filter(action="slo.edit").exists()


def test_every_change_is_in_the_audit_log(cast):
    slo = save(team=cast.support)
    save(slo, target=Decimal("0.99"))
    set_archived(author=Author(user=cast.mia), slo=slo, archived=True)
    set_archived(author=Author(user=cast.mia), slo=slo, archived=True)
    entries = AuditEntry.objects.filter(target__startswith=f"SLO {slo.pk}:").order_by("id")
    assert [entry.action for entry in entries] == ["slo.add", "slo.edit", "slo.archive"]
    assert (entries[1].before["target"], entries[1].after["target"]) == ("0.999", "0.99")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"indicator": "latency"}, "limit"),
        ({"indicator": "spend", "limit": 1}, "per"),
        ({"target": Decimal(1)}, "target"),
        ({"exclusions": {"tenant": ["acme"]}}, "exclusions"),
        ({"tenant": "acme", "exclusions": {"endpoint": ["/x"]}}, "exclusions"),
    ],
    ids=["limit", "per", "target", "excluded-tenant", "tenant-by-endpoint"],
)
def test_what_cannot_be_counted_is_refused_by_field(cast, values, field):
    before = Slo.objects.count()
    with pytest.raises(ValidationError) as refused:
        save(**values)
    assert list(refused.value.message_dict) == [field]
    assert Slo.objects.count() == before


def test_the_demo_has_objectives_of_each_kind_once(cast):
    assert create_demo_slos() == 0
    Team.objects.filter(pk=cast.support.pk).update(is_demo=True)
    assert create_demo_slos() == 4
    assert create_demo_slos() == 0
    found = Slo.objects.filter(team=cast.support)
    assert {slo.indicator for slo in found} == set(Slo.Indicator.values)
    cast.support.delete()
    assert not AlertRule.objects.filter(slo__in=found).exists()


def test_one_objective_comes_with_the_desk_and_is_not_forced_on_it(cast):
    slo = Slo.objects.get(shipped_as="requests-answered")
    assert (slo.target, slo.team, slo.exclusions) == (Decimal("0.99"), None, {"environment": ["drill"]})
    assert AlertRule.objects.filter(slo=slo, is_active=True).count() == 4
    save(slo, target=Decimal("0.98"))
    set_archived(author=Author(label="test"), slo=slo, archived=True)
    assert install_slos() == 0
    slo.refresh_from_db()
    assert (slo.target, slo.is_active) == (Decimal("0.98"), False)
