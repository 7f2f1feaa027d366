"""Pages and API of alerts, their rules and silences, over HTTP."""

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents.actions import raise_alert
from incidents.actions.evaluation import evaluate
from incidents.models import Alert, AlertRule, RunbookSection, Silence
from tests.alerting import make_rule
from tests.cast import bearer, make_key
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db
FACTS = {"source_kind": "other", "severity": "critical", "route": "page", "runbook": "cost-spike#containment"}


def raised(team, key="1", **more) -> Alert:
    facts = {"source_key": key, "team": team, "title": f"Trouble {key}", "at": timezone.now()}
    return raise_alert(**FACTS | facts | more)


def posted(**fields) -> dict:
    """A valid post of the rule form."""
    section = RunbookSection.objects.get(runbook__slug="latency", kind="containment")
    values = {"name": "Slow", "kind": "threshold", "metric": "latency_p95", "comparison": "above", "threshold": "5000"}
    values |= {"window_minutes": "10", "for_minutes": "1", "clear_minutes": "5", "min_events": "20"}
    values |= {"baseline_weeks": "4", "severity": "critical", "route": "page", "first_mitigation": "Switch the model"}
    return values | {"runbook_section": section.pk, "breakdown": "environment", "no_data": "ok"} | fields


# --- Alerts -----------------------------------------------------------------------------------------------------
def test_the_list_shows_firing_alerts_by_cause_and_only_those_of_the_viewers_teams(client, cast):
    raised(cast.support), raised(cast.support, "2"), raised(cast.search, "3")
    client.force_login(cast.vera)
    body = client.get("/alerts/").content.decode()
    assert "Trouble 1" in body and "Trouble 2" in body and "Trouble 3" not in body
    assert body.count("Cost spike: containment <span") == 1


@pytest.mark.parametrize(
    ("query", "seen"), [("?severity=info", False), ("?severity=critical", True), ("?show=muted", 0)]
)
def test_the_list_is_filtered(client, cast, query, seen):
    raised(cast.support)
    client.force_login(cast.vera)
    assert ("Trouble 1" in client.get(f"/alerts/{query}").content.decode()) == seen


def test_an_alert_page_says_what_to_do_and_is_404_to_a_stranger(client, cast):
    alert = raised(cast.support)
    client.force_login(cast.olu)
    body = client.get(f"/alerts/{alert.pk}/").content.decode()
    assert "/runbooks/cost-spike/#containment" in body and "Acknowledge" in body
    client.force_login(cast.stan)
    assert client.get(f"/alerts/{alert.pk}/").status_code == 404


def test_the_page_of_a_rules_alert_draws_its_figure_against_the_threshold(client, cast):
    AlertRule.objects.update(is_active=False)
    rule = make_rule(name="Errors", min_events=5)
    record(cast.support, timezone.now() - timedelta(minutes=2), 40, status="error", error_type="timeout")
    drain()
    evaluate(timezone.now())
    client.force_login(cast.vera)
    body = client.get(f"/alerts/{Alert.objects.get(rule=rule).pk}/").content.decode()
    assert "threshold 5 %" in body and "Fail over" in body


def test_acknowledging_needs_the_right_and_counts_for_the_group(client, cast):
    alert = raised(cast.support)
    raised(cast.support, "2")
    client.force_login(cast.vera)
    assert client.post(f"/alerts/{alert.pk}/acknowledge/").status_code == 403
    client.force_login(cast.olu)
    client.post(f"/alerts/{alert.pk}/acknowledge/", {"group": "1"})
    assert Alert.objects.filter(acknowledged_by=cast.olu).count() == 2


# --- Rules ------------------------------------------------------------------------------------------------------
def test_a_rule_is_made_with_its_version_and_audit_entry(client, cast):
    client.force_login(cast.mia)
    answer = client.post("/alerts/rules/add/", posted(team=cast.support.pk, filters="provider = openai, azure"))
    rule = AlertRule.objects.get(name="Slow")
    assert answer.url == f"/alerts/rules/{rule.pk}/"
    assert (rule.filters, rule.window_seconds, rule.for_seconds) == ({"provider": ["azure", "openai"]}, 600, 60)
    assert rule.versions.count() == 1


def test_a_maintainer_of_a_team_changes_no_rule_of_all_teams(client, cast):
    client.force_login(cast.mia)
    rule = AlertRule.objects.get(slug="error-rate-high")
    assert client.get(f"/alerts/rules/{rule.pk}/").status_code == 200
    assert client.post(f"/alerts/rules/{rule.pk}/", posted()).status_code == 403


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"filters": "colour = red"}, "There is no dimension"),
        ({"filters": "nonsense"}, "should read: dimension = value"),
        ({"threshold": ""}, "Say from which value on it fires."),
        ({"clear_threshold": "6000"}, "on the other side of the threshold"),
        ({"runbook_section": ""}, "This field is required."),
    ],
    ids=["dimension", "line", "threshold", "clear", "runbook"],
)
def test_a_rule_that_could_not_be_evaluated_is_refused_with_the_field(client, cast, fields, complaint):
    client.force_login(cast.ada)
    body = client.post("/alerts/rules/add/", posted(**fields)).content.decode()
    assert complaint in body
    assert not AlertRule.objects.filter(name="Slow").exists()


def test_two_people_who_edit_one_rule_lose_no_edit(client, cast):
    rule = make_rule()
    client.force_login(cast.ada)
    url = f"/alerts/rules/{rule.pk}/"
    assert client.post(url, posted(version=1, name="First")).status_code == 302
    assert "Somebody saved this rule" in client.post(url, posted(version=1, name="Second")).content.decode()
    assert AlertRule.objects.get(pk=rule.pk).name == "First"


def test_the_last_edit_is_undone_and_switching_off_is_a_version_too(client, cast):
    rule = make_rule()
    client.force_login(cast.ada)
    client.post(f"/alerts/rules/{rule.pk}/", posted(version=1, threshold="4000"))
    client.post(f"/alerts/rules/{rule.pk}/undo/")
    rule.refresh_from_db()
    assert (rule.metric, rule.version) == ("error_rate", 3)
    client.post(f"/alerts/rules/{rule.pk}/switch/")
    rule.refresh_from_db()
    assert not rule.is_active


def test_a_teams_copy_stands_instead_of_the_rule_of_all_teams(client, cast):
    client.force_login(cast.mia)
    shipped = AlertRule.objects.get(slug="latency-p95-critical")
    client.post(f"/alerts/rules/{shipped.pk}/copy/", {"team": "support"})
    copy = AlertRule.objects.get(team=cast.support)
    assert copy.options["instead_of"] == "latency-p95-critical"


def test_the_editor_says_how_often_it_would_have_fired(client, cast):
    at = timezone.now() - timedelta(hours=5)
    record(cast.support, at, 40, status="error", error_type="timeout")
    record(cast.support, at - timedelta(days=2), 40)
    drain()
    client.force_login(cast.ada)
    body = client.post("/alerts/rules/preview/", posted(metric="error_rate", threshold="0.05")).content.decode()
    assert "would have fired <strong>once</strong>" in body
    assert "would have fired once" in body


def test_rules_that_are_shipped_are_listed_with_their_condition(client, cast):
    client.force_login(cast.vera)
    body = client.get("/alerts/rules/").content.decode()
    assert "Error rate high" in body and "Error rate above 5 % over 5 min, for 1 min" in body


# --- Silences ---------------------------------------------------------------------------------------------------
def test_a_silence_shows_what_it_mutes_before_it_is_made_and_ends(client, cast):
    alert = raised(cast.support, labels={"model": "o3"})
    client.force_login(cast.olu)
    assert "model = o3" in client.get(f"/alerts/silences/add/?alert={alert.pk}").content.decode()
    values = {"team": cast.support.pk, "labels": "model = o3", "lasts": "60", "reason": "Known"}
    assert "Trouble 1" in client.post("/alerts/silences/preview/", values).content.decode()
    client.post("/alerts/silences/add/", values)
    silence = Silence.objects.get()
    client.post(f"/alerts/silences/{silence.pk}/end/")
    silence.refresh_from_db()
    assert silence.ends_at <= timezone.now()


def test_a_viewer_silences_nothing(client, cast):
    client.force_login(cast.vera)
    assert client.get("/alerts/silences/add/").status_code == 403


# --- API --------------------------------------------------------------------------------------------------------
def test_a_key_lists_its_teams_alerts(client, cast, support_key):
    raised(cast.support), raised(cast.search, "2")
    answer = client.get("/api/v1/alerts?state=firing", headers=bearer(support_key)).json()
    assert [one["title"] for one in answer["alerts"]] == ["Trouble 1"]


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30], ids=["word", "negative", "huge"])
def test_a_place_that_is_none_is_named(client, support_key, before):
    answer = client.get(f"/api/v1/alerts?before={before}", headers=bearer(support_key))
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "before")


def test_a_key_raises_an_alert_once_and_resolves_it(client, cast):
    headers = bearer(make_key(cast.support, "alerts")[1])
    body = {"key": "disk", "title": "Disk full", "runbook": "desk#containment"}
    for _ in range(2):
        answer = client.post("/api/v1/alerts", body, content_type="application/json", headers=headers)
        assert answer.status_code == 200, answer.content
    assert Alert.objects.get().raised_count == 2
    client.post("/api/v1/alerts", {"key": "disk", "resolved": True}, content_type="application/json", headers=headers)
    assert Alert.objects.get().resolved_at


def test_an_alert_without_a_runbook_section_is_refused(client, cast):
    headers = bearer(make_key(cast.support, "alerts")[1])
    body = {"key": "disk", "title": "Disk full", "runbook": "nothing#here"}
    answer = client.post("/api/v1/alerts", body, content_type="application/json", headers=headers)
    assert answer.status_code == 400 and "runbook" in answer.content.decode()


def test_a_key_lists_the_rules_that_watch_its_team(client, cast, support_key):
    make_rule(team=cast.search, name="Not ours")
    names = {one["name"] for one in client.get("/api/v1/alert-rules", headers=bearer(support_key)).json()}
    assert "Error rate high" in names and "Not ours" not in names
