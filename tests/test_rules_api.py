"""/api/v1/alert-rules: read, added, changed, deleted and tried by keys of a team."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.access import grantable_scopes
from accounts.models import AuditEntry
from incidents.models import AlertRule, Canary, Slo
from tests.alerting import make_rule
from tests.cast import bearer, make_key
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db
URL = "/api/v1/alert-rules"
BODY = {
    "name": "Slow answers",
    "kind": "threshold",
    "metric": "latency_p95",
    "filters": {"feature": ["chat"]},
    "breakdown": ["environment"],
    "threshold": "5000",
    "window_seconds": 600,
    "severity": "critical",
    "route": "page",
    "runbook": "latency#containment",
    "first_mitigation": "Switch the model",
    "declare": 2,
}


@pytest.fixture
def headers(cast) -> dict[str, str]:
    return bearer(make_key(cast.support, "rules", "read")[1])


@pytest.fixture
def send(client, headers):
    """(status, body) of a request with JSON."""

    def sent(method: str, url: str, body=None, **more):
        answer = getattr(client, method)(url, body, content_type="application/json", headers=headers | more)
        return answer.status_code, answer.json() if answer.content else None

    return sent


def test_a_rule_is_added_for_the_keys_team_with_version_and_audit_entry(cast, send):
    status, body = send("post", URL, BODY | {"owner": "mia@desk.example", "parent": "provider-error-rate"})
    assert status == 201, body
    rule = AlertRule.objects.get(slug=body["slug"])
    assert (rule.team, rule.owner, rule.threshold, rule.options) == (cast.support, cast.mia, 5000, {"declare": 2})
    assert "above 5" in body["condition"]
    assert (body["parent"], body["declare"], body["version"]) == ("provider-error-rate", 2, 1)
    assert rule.versions.count() == 1
    assert AuditEntry.objects.get(action="rule.add").actor_label.startswith("key ")


def test_what_was_read_can_be_sent_back(send):
    _, made = send("post", URL, BODY)
    computed = ("slug", "team", "version", "condition", "is_shipped", "evaluated_at", "failure")
    same = {name: value for name, value in made.items() if name not in computed}
    status, body = send("patch", f"{URL}/{made['slug']}", same)
    assert (status, body["version"]) == (200, 1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "nonsense"}, "kind"),
        ({"kind": "desk"}, "kind"),
        ({"metric": "nonsense"}, "metric"),
        ({"threshold": None}, "threshold"),
        ({"threshold": "NaN"}, "threshold"),
        ({"filters": {"colour": ["red"]}}, "filters"),
        ({"filters": {"feature": []}}, "filters.feature"),
        ({"breakdown": ["colour"]}, "breakdown"),
        ({"window_seconds": 10}, "window_seconds"),
        ({"runbook": "nothing#here"}, "runbook"),
        ({"owner": "stan@desk.example"}, "owner"),
        ({"parent": "nothing"}, "parent"),
        ({"instead_of": "nothing"}, "instead_of"),
        ({"clear_threshold": "6000"}, "clear_threshold"),
        ({"long_seconds": 3600}, "long_seconds"),
        ({"treshold": 1}, "treshold"),
        ({"severity": ""}, "severity"),
        ({"name": "a\0b"}, "name"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_what_could_not_be_evaluated_is_refused_with_its_field(send, change, field):
    status, body = send("post", URL, BODY | change)
    assert (status, body["error"]["field"]) == (400, field), body
    assert body["error"]["fix"]
    assert not AlertRule.objects.filter(name="Slow answers").exists()


@pytest.mark.parametrize("body", [[], 5, "text", None], ids=["list", "number", "text", "null"])
@pytest.mark.parametrize("url", [URL, f"{URL}/backtest"], ids=["add", "try"])
def test_a_body_that_is_no_object_is_refused(send, url, body):
    assert send("post", url, body)[0] == 400


def test_a_change_touches_only_what_is_sent(cast, send):
    _, made = send("post", URL, BODY)
    status, body = send("patch", f"{URL}/{made['slug']}", {"threshold": "4000", "version": 1, "note": "Too slow"})
    assert (status, body["threshold"], body["version"]) == (200, "4000", 2)
    assert (body["metric"], body["declare"]) == ("latency_p95", 2)
    rule = AlertRule.objects.get(slug=made["slug"])
    assert rule.versions.first().note == "Too slow"
    _, body = send("patch", f"{URL}/{made['slug']}", {"declare": None, "is_active": False})
    assert (body["declare"], body["is_active"]) == (None, False)


def test_an_edit_that_would_be_lost_is_a_conflict(send):
    _, made = send("post", URL, BODY)
    send("patch", f"{URL}/{made['slug']}", {"threshold": "4000", "version": 1})
    status, body = send("patch", f"{URL}/{made['slug']}", {"threshold": "3000", "version": 1})
    assert (status, body["error"]["code"], body["error"]["field"]) == (409, "conflict", "version")
    assert send("delete", f"{URL}/{made['slug']}?version=1")[0] == 409
    assert AlertRule.objects.get(slug=made["slug"]).threshold == 4000


@pytest.mark.django_db(transaction=True)
def test_of_edits_at_once_one_is_kept_and_the_others_are_conflicts(send, headers):
    _, made = send("post", URL, BODY)

    def edit(threshold: int) -> int:
        try:
            body = {"threshold": str(threshold), "version": 1}
            address = f"{URL}/{made['slug']}"
            return Client().patch(address, body, content_type="application/json", headers=headers).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(edit, range(1000, 1008)))
    assert sorted(answers) == [200] + [409] * 7
    rule = AlertRule.objects.get(slug=made["slug"])
    assert (rule.version, rule.threshold) == (2, 1000 + answers.index(200))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x" * 100_000},
        {"threshold": "1e400"},
        {"threshold": "NaN"},
        {"window_seconds": 10**30},
        {"filters": {"feature": ["a\0b"]}},
        {"filters": {f"f{n}": ["x"] for n in range(1000)}},
        {"breakdown": [["environment"]]},
        {"declare": -(2**70)},
    ],
    ids=["long", "endless", "nan", "ages", "nul", "many", "nested", "below"],
)
def test_what_is_huge_or_odd_is_refused_by_field_and_nothing_is_saved(send, change):
    for address in (URL, f"{URL}/backtest"):
        status, body = send("post", address, BODY | change)
        assert status == 400 and body["error"]["field"], (address, body)
    assert not AlertRule.objects.filter(name__in=[BODY["name"], change.get("name")]).exists()


def test_the_kind_of_a_rule_stays(send):
    _, made = send("post", URL, BODY)
    assert send("patch", f"{URL}/{made['slug']}", {"kind": "baseline"})[1]["error"]["field"] == "kind"


def test_a_rule_is_deleted_with_an_audit_entry(cast, send):
    _, made = send("post", URL, BODY)
    assert send("delete", f"{URL}/{made['slug']}")[0] == 204
    assert send("get", f"{URL}/{made['slug']}")[0] == 404
    assert AuditEntry.objects.get(action="rule.remove").before["name"] == "Slow answers"


def test_a_rule_of_an_objective_is_switched_off_but_not_deleted(cast, send):
    slo = Slo.objects.create(name="Answers", team=cast.support, indicator="success", target=Decimal("0.9"))
    options = {"long_seconds": 3600, "short_seconds": 300}
    rule = make_rule(
        kind="burn_rate", slo=slo, team=cast.support, slug=f"slo-{slo.pk}-1h", threshold=2, options=options
    )
    status, body = send("delete", f"{URL}/{rule.slug}")
    assert status == 400 and "Switch it off" in body["error"]["message"]
    assert send("patch", f"{URL}/{rule.slug}", {"is_active": False})[0] == 200


def test_rules_of_all_teams_are_read_but_not_changed_and_other_teams_are_unknown(cast, send):
    make_rule(team=cast.search, slug="theirs")
    assert send("get", f"{URL}/no-success")[0] == 200
    status, body = send("patch", f"{URL}/no-success", {"is_active": False})
    assert (status, body["error"]["code"]) == (403, "not_yours")
    assert send("delete", f"{URL}/no-success")[0] == 403
    for method in ("get", "patch", "delete"):
        assert send(method, f"{URL}/theirs")[0] == 404


def test_writing_needs_the_scope_rules_which_only_those_may_give_who_edit_rules(client, cast, support_key):
    answer = client.post(URL, BODY, content_type="application/json", headers=bearer(support_key))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_scope")
    assert "rules" in grantable_scopes(cast.mia, cast.support)
    assert "rules" not in grantable_scopes(cast.fatima, cast.support)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("baseline", {"metric": "cost_usd", "threshold": 2, "window_seconds": 3600, "floor": "5"}),
        ("no_data", {"window_seconds": 900, "min_events": 50}),
        ("anomaly", {"source": "anomaly", "metric": "refusals", "when": "warning", "filters": {"feature": ["chat"]}}),
        ("budget", {"source": "budget", "when": "critical"}),
        ("canary", {"threshold": 2}),
    ],
    ids=["baseline", "no_data", "anomaly", "budget", "canary"],
)
def test_every_kind_is_added_and_tried(send, kind, facts):
    same = {name: BODY[name] for name in ("name", "severity", "route", "runbook", "first_mitigation")}
    status, body = send("post", f"{URL}/backtest", {"kind": kind} | facts)
    assert (status, body["times"]) == (200, 0), body
    status, body = send("post", URL, same | {"kind": kind} | facts)
    assert status == 201, body
    assert send("post", f"{URL}/{body['slug']}/backtest", {})[0] == 200


def test_a_burn_rate_and_a_check_name_what_is_the_teams(cast, send):
    facts = {"indicator": "success", "target": Decimal("0.9")}
    mine = Slo.objects.create(name="Answers", team=cast.support, **facts)
    other = Slo.objects.create(name="Theirs", team=cast.search, **facts)
    check = Canary.objects.create(name="Ask", team=cast.search, url="https://a.example/", due_at=timezone.now())
    same = {name: BODY[name] for name in ("name", "severity", "route", "runbook", "first_mitigation")}
    burn = {"kind": "burn_rate", "threshold": 3, "long_seconds": 3600, "short_seconds": 300}
    assert send("post", URL, same | burn | {"slo": other.pk})[1]["error"]["field"] == "slo"
    assert send("post", URL, same | burn)[1]["error"]["field"] == "slo"
    assert send("post", URL, same | burn | {"slo": mine.pk, "threshold": 11})[1]["error"]["field"] == "threshold"
    status, body = send("post", URL, same | burn | {"slo": mine.pk})
    assert (status, body["slo"], body["long_seconds"]) == (201, mine.pk, 3600)
    assert send("post", URL, same | {"kind": "canary", "check": check.pk})[1]["error"]["field"] == "check"


def test_a_backtest_answers_the_firings_and_saves_nothing(cast, send):
    now = timezone.now()
    record(cast.support, now - timedelta(hours=5), 40, status="error", error_type="timeout")
    record(cast.search, now - timedelta(hours=5), 40, status="error", error_type="timeout")
    drain()
    before = AlertRule.objects.count()
    body = {"kind": "threshold", "metric": "error_rate", "threshold": 0.05, "window_seconds": 3600}
    status, answer = send("post", f"{URL}/backtest", body)
    assert (status, answer["times"], answer["step"]) == (200, 1, "hour"), answer
    assert [one["team"] for one in answer["firings"]] == ["Support AI"]
    assert answer["counts_from"] > answer["start"]
    assert AlertRule.objects.count() == before


def test_a_rule_of_all_teams_is_tried_with_changes_over_the_keys_team_alone(cast, send):
    record(cast.search, timezone.now() - timedelta(hours=5), 40, status="error", error_type="timeout")
    drain()
    assert send("post", f"{URL}/error-rate-high/backtest", {})[1]["times"] == 0
    assert send("post", f"{URL}/error-rate-high/backtest", {"metric": "nonsense"})[1]["error"]["field"] == "metric"
    assert send("post", f"{URL}/desk-rollups/backtest", {})[1]["error"]["field"] == "team"


def test_a_rule_called_backtest_does_not_hide_the_address(send):
    assert send("post", URL, BODY | {"name": "Backtest"})[1]["slug"] == "backtest-2"
