"""The editor of alert rules: fields by kind, every kind made, tried and removed, over HTTP."""

from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from incidents.actions import raise_alert
from incidents.models import Alert, AlertRule, Canary, RunbookSection, Slo
from tests.alerting import make_rule

pytestmark = pytest.mark.django_db


def posted(kind: str, **fields) -> dict:
    """A valid post of what every kind has."""
    section = RunbookSection.objects.get(runbook__slug="latency", kind="containment")
    values = {"kind": kind, "name": f"Try {kind}", "severity": "warning", "route": "ticket"}
    values |= {"first_mitigation": "Look", "runbook_section": section.pk, "for_minutes": "0", "clear_minutes": "5"}
    return values | fields


@pytest.fixture
def slo(cast) -> Slo:
    return Slo.objects.create(name="Answers", team=cast.support, indicator="success", target=Decimal("0.99"))


@pytest.fixture
def check(cast) -> Canary:
    return Canary.objects.create(name="Ask", team=cast.support, url="https://a.example/", due_at=timezone.now())


BURN = {"threshold": "14.4", "long_minutes": "60", "short_minutes": "5", "min_events": "100"}


@pytest.mark.parametrize(
    "kind", ["threshold", "baseline", "no_data", "burn_rate", "canary", "anomaly", "budget", "desk"]
)
def test_the_fields_of_a_kind_are_shown_with_what_was_typed_kept(client, cast, kind):
    client.force_login(cast.ada)
    body = client.post("/alerts/rules/fields/", posted(kind, name="Typed before")).content.decode()
    assert "Typed before" in body and "Try it" in body
    assert ("id_metric" in body) == (kind in ("threshold", "baseline", "anomaly", "desk"))
    assert ("id_long_minutes" in body) == (kind == "burn_rate")


def test_without_scripts_the_page_itself_changes_its_fields(client, cast):
    client.force_login(cast.ada)
    body = client.post("/alerts/rules/add/", posted("canary", reshape="1", name="Typed before")).content.decode()
    assert "id_failures" in body and "Typed before" in body
    assert not AlertRule.objects.filter(name="Typed before").exists()


def test_a_burn_rate_rule_is_made_for_the_team_of_its_objective(client, cast, slo):
    client.force_login(cast.mia)
    client.post("/alerts/rules/add/", posted("burn_rate", slo=slo.pk, **BURN))
    rule = AlertRule.objects.get(name="Try burn_rate")
    assert (rule.team, rule.slo, rule.threshold, rule.window_seconds) == (cast.support, slo, Decimal("14.4"), 3600)
    assert rule.options == {"long_seconds": 3600, "short_seconds": 300}
    sentence = "Error budget burns above 14.4 × over 1 h, and over the last 5 min"
    assert sentence in client.get(f"/alerts/rules/{rule.pk}/").content.decode()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"slo": ""}, "This field is required."),
        ({"short_minutes": "60"}, "The short window is shorter"),
        ({"threshold": "100"}, "It could never fire: while everything fails, this budget burns at 100."),
        ({"threshold": ""}, "Say from which burn rate on it fires"),
    ],
    ids=["objective", "windows", "never", "rate"],
)
def test_a_burn_rate_that_could_never_fire_is_refused_with_the_field(client, cast, slo, fields, complaint):
    client.force_login(cast.ada)
    body = client.post("/alerts/rules/add/", posted("burn_rate", **({"slo": slo.pk} | BURN | fields))).content.decode()
    assert complaint in body
    assert not AlertRule.objects.filter(name="Try burn_rate").exists()


def test_an_objective_of_another_team_cannot_be_chosen(client, cast):
    other = Slo.objects.create(name="Theirs", team=cast.search, indicator="success", target=Decimal("0.99"))
    client.force_login(cast.mia)
    assert "Theirs" not in client.post("/alerts/rules/fields/", posted("burn_rate")).content.decode()
    client.post("/alerts/rules/add/", posted("burn_rate", slo=other.pk, **BURN))
    assert not AlertRule.objects.filter(name="Try burn_rate").exists()


def test_a_rule_of_one_synthetic_check_is_of_its_team(client, cast, check):
    client.force_login(cast.mia)
    client.post("/alerts/rules/add/", posted("canary", check=check.pk, failures="3"))
    rule = AlertRule.objects.get(name="Try canary")
    assert (rule.team, rule.threshold, rule.options) == (cast.support, 2, {"check": check.pk})
    assert "One synthetic check fails 3 times in a row" in client.get("/alerts/rules/").content.decode()


def test_only_organisation_wide_roles_make_rules_of_the_desk_itself(client, cast):
    desk = posted("desk", metric="rollup_lag", comparison="above", threshold="300")
    client.force_login(cast.mia)
    assert "choices" in client.post("/alerts/rules/add/", desk).content.decode()
    client.force_login(cast.ada)
    client.post("/alerts/rules/add/", desk)
    assert AlertRule.objects.get(name="Try desk").team is None


def test_a_rule_of_an_anomaly_decides_what_its_alert_is_like(client, cast):
    client.force_login(cast.mia)
    fields = {"team": cast.support.pk, "metric": "refusals", "when": "warning", "filters": "feature = chat"}
    client.post("/alerts/rules/add/", posted("anomaly", **fields | {"severity": "critical", "route": "page"}))
    rule = AlertRule.objects.get(name="Try anomaly")
    facts = {"source_kind": "anomaly", "severity": "warning", "route": "ticket", "title": "Off", "team": cast.support}
    facts |= {"runbook": "cost-spike#detection", "at": timezone.now()}
    labels = {"feature": "chat", "model": "o3", "metric": "refusals"}
    assert raise_alert(source_key="1", labels=labels, **facts).rule == rule
    other = raise_alert(source_key="2", labels=labels | {"metric": "spend"}, **facts)
    assert (other.rule.slug, other.route) == ("spend-anomaly", "ticket")
    AlertRule.objects.filter(pk=rule.pk).update(is_active=False)
    assert raise_alert(source_key="3", labels=labels, **facts).muted_by == "Its rule is switched off"


def test_the_shipped_rule_answers_for_forecasts(cast):
    facts = {"source_kind": "budget-forecast", "severity": "warning", "route": "ticket", "title": "38 % over"}
    raise_alert(source_key="1", team=cast.support, runbook="cost-spike#containment", at=timezone.now(), **facts)
    assert Alert.objects.get().rule.slug == "budget-forecast"


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        ("canary", {"failures": "2"}, "No run of such a check is kept yet"),
        ("anomaly", {}, "The detector has not looked at this traffic yet."),
        ("budget", {"source": "budget"}, "There is no such budget yet."),
        ("desk", {"metric": "rollup_lag", "threshold": "60", "comparison": "above"}, "is not kept"),
    ],
)
def test_a_kind_without_history_says_why_it_has_none(client, cast, kind, fields, says):
    client.force_login(cast.ada)
    body = client.post("/alerts/rules/preview/", posted(kind, **fields)).content.decode()
    assert "would have fired <strong>not once</strong>" in body
    assert says in body


def test_the_kind_of_a_rule_that_is_no_metric_stays_what_it_is(client, cast, slo):
    rule = make_rule(kind="burn_rate", slo=slo, team=cast.support, threshold="2")
    AlertRule.objects.filter(pk=rule.pk).update(options={"long_seconds": 3600, "short_seconds": 300, "rested": True})
    client.force_login(cast.mia)
    assert 'value="canary"' not in client.get(f"/alerts/rules/{rule.pk}/").content.decode()
    client.post(f"/alerts/rules/{rule.pk}/", posted("burn_rate", slo=slo.pk, version=1, **BURN | {"threshold": "6"}))
    rule.refresh_from_db()
    assert (rule.threshold, rule.options["rested"]) == (6, True)


def test_a_rule_is_removed_with_an_audit_entry_and_shipped_ones_are_not(client, cast):
    rule = make_rule(team=cast.support, name="Gone soon")
    client.force_login(cast.vera)
    assert client.post(f"/alerts/rules/{rule.pk}/remove/").status_code == 403
    client.force_login(cast.ada)
    client.post(f"/alerts/rules/{rule.pk}/remove/")
    assert not AlertRule.objects.filter(pk=rule.pk).exists()
    assert AuditEntry.objects.get(action="rule.remove").target == f"rule {rule.pk}: Gone soon"
    shipped = AlertRule.objects.get(slug="no-success")
    AlertRule.objects.filter(pk=shipped.pk).update(is_shipped=True)
    assert "Switch it off" in client.post(f"/alerts/rules/{shipped.pk}/remove/", follow=True).content.decode()
    assert AlertRule.objects.filter(pk=shipped.pk).exists()
