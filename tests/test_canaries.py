"""Synthetic checks against a real server: sent, judged, kept, told; and their pages."""

import json
import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from incidents.actions.canaries import as_dicts, expire, run, run_now, save_canary, take
from incidents.actions.evaluation import evaluate
from incidents.models import Alert, AlertRule, Canary, CanaryRun, RunbookSection
from incidents.outbound.canaries import run_due
from incidents.queries.canaries import canary_label_sets, failing
from incidents.rules.canaries import parse
from tests.web_receiver import Reply, receiver

pytestmark = pytest.mark.django_db

GOOD = json.dumps({"answer": "Within 30 days.", "citations": ["returns.md"]}).encode()
ASKED = "json answer is string\ncitations citations >= 1"
TOKEN = "Bearer tok-123456"


@pytest.fixture
def server(settings):
    settings.OUTBOUND_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    with receiver() as running:
        running.reply = Reply(body=GOOD)
        yield running


def save(server, canary=None, headers=None, version=None, **values) -> Canary:
    facts = {} if canary else {"name": "Answers with a source", "url": f"{server.url}/ask", "body": '{"q": 1}'}
    facts |= {} if canary else {"assertions": as_dicts(parse(ASKED))}
    given = {"headers": headers, "version": version}
    return save_canary(author=Author(label="test"), canary=canary or Canary(), values=facts | values, **given)


def once(canary: Canary) -> CanaryRun:
    """Make it due and run it."""
    Canary.objects.filter(pk=canary.pk).update(due_at=timezone.now())
    taken = take(timezone.now())
    assert taken is not None
    return run(taken)


def test_a_good_answer_is_kept_with_its_time(cast, server):
    canary = save(server, team=cast.support, headers={"Authorization": TOKEN})
    one = once(canary)
    assert (one.ok, one.status, one.failures) == (True, 200, [])
    assert one.latency_ms is not None
    (sent,) = server.received
    assert (sent.path, sent.body, sent.headers["authorization"]) == ("/ask", b'{"q": 1}', TOKEN)
    canary.refresh_from_db()
    assert (canary.failed_in_row, canary.last_run_at) == (0, one.at)


def test_an_answer_that_looks_well_but_cites_nothing_fails(cast, server):
    server.reply = Reply(body=b'{"answer": "Within 30 days.", "citations": []}')
    assert once(save(server)).failures == ["0 citations, fewer than 1"]


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(status=503), "Status 503 instead of 200"),
        (Reply(status=302, headers={"Location": "http://127.0.0.1/"}, body=GOOD), "Status 302 instead of 200"),
        (Reply(hangs=3, body=GOOD), "No whole answer within 1 s."),
        (Reply(body=b"x" * 600_000), "The answer is no JSON: it is too long to be read whole"),
    ],
    ids=["error", "redirect", "hangs", "huge"],
)
def test_a_bad_answer_fails_in_time_and_in_words(cast, server, reply, says):
    server.reply = reply
    one = once(save(server, timeout_seconds=1))
    assert not one.ok
    assert one.failures[-1 if "JSON" in says else 0] == says


def test_a_private_address_is_refused_and_that_is_said(cast, server, settings):
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    one = once(save(server))
    assert "is a private address" in one.failures[0]
    assert server.received == []


def test_what_comes_back_is_kept_without_the_secret_that_was_sent(cast, server):
    server.reply = Reply(body=json.dumps({"answer": "hi", "citations": [1], "echo": TOKEN}).encode())
    canary = save(server, headers={"Authorization": TOKEN})
    assert "tok-123456" not in once(canary).excerpt
    canary.refresh_from_db()
    assert "tok-123456" not in canary.headers_sealed
    assert "tok-123456" not in str(list(AuditEntry.objects.values()))


def test_two_failures_in_a_row_are_failing_and_one_good_run_ends_it(cast, server):
    canary = save(server)
    server.reply = Reply(status=500)
    once(canary)
    assert failing(timezone.now()) == []
    once(canary)
    (found,) = failing(timezone.now())
    assert (found.canary, found.runs) == (canary, 2)
    assert found.failures[0] == "Status 500 instead of 200"
    server.reply = Reply(body=GOOD)
    once(canary)
    assert failing(timezone.now()) == []


def test_a_check_switched_off_is_neither_sent_nor_failing(cast, server):
    canary = save(server)
    server.reply = Reply(status=500)
    once(canary)
    once(canary)
    save(server, canary, is_active=False)
    assert take(timezone.now() + timedelta(days=1)) is None
    assert failing(timezone.now()) == []


def test_alert_rules_judge_the_failures_in_a_row(cast, server):
    canary = save(server, team=cast.support)
    server.reply = Reply(status=500)
    once(canary)
    save(server, name="Never ran", team=cast.search)
    section = RunbookSection.objects.filter(kind="detection").first()
    facts = {"slug": "c", "name": "c", "kind": "canary", "severity": "critical", "route": "page"}
    rule = AlertRule.objects.create(**facts, runbook_section=section, first_mitigation="Look")
    (one,) = canary_label_sets(rule, timezone.now())
    assert (one.team_id, one.labels["check"], one.reading.value) == (cast.support.pk, "Answers with a source", 1)
    rule.team = cast.search
    assert canary_label_sets(rule, timezone.now()) == []


@pytest.mark.django_db(transaction=True)
def test_two_failures_page_by_the_rule_that_ships_and_a_good_run_resolves(cast, server):
    canary = save(server, team=cast.support)
    server.reply = Reply(status=500)
    now = timezone.now()
    for _ in range(2):
        once(canary)
        evaluate(now, kinds=[AlertRule.Kind.CANARY])
    (alert,) = Alert.objects.filter(rule__kind="canary")
    assert (alert.team, alert.route, alert.resolved_at) == (cast.support, "page", None)
    assert alert.labels["check"] == "Answers with a source"
    server.reply = Reply(body=GOOD)
    once(canary)
    for minutes in range(12):  # it must be well for a while, so that one good run among bad ones is no resolution
        evaluate(now + timedelta(minutes=minutes), kinds=[AlertRule.Kind.CANARY])
    alert.refresh_from_db()
    assert alert.resolved_at is not None


def test_a_run_is_taken_once_and_missed_runs_are_not_made_up(cast, server):
    canary = save(server, every_seconds=60)
    later = timezone.now() + timedelta(hours=5)
    assert take(later) is not None
    assert take(later) is None
    canary.refresh_from_db()
    assert canary.due_at == later + timedelta(seconds=60)


def test_a_run_told_twice_counts_once(cast, server):
    canary = save(server)
    server.reply = Reply(status=500)
    taken = take(timezone.now())
    run(taken)
    run(taken)
    canary.refresh_from_db()
    assert (canary.runs.count(), canary.failed_in_row) == (1, 1)


def test_what_came_of_an_older_version_does_not_count(cast, server):
    canary = save(server)
    server.reply = Reply(status=500)
    taken = take(timezone.now())
    save(server, canary, name="Renamed")
    run(taken)
    canary.refresh_from_db()
    assert canary.failed_in_row == 0


@pytest.mark.django_db(transaction=True)
def test_checks_run_beside_each_other(cast, server):
    together = threading.Barrier(2, timeout=20)
    server.on_request = together.wait  # each waits for the other: one after the other would break it
    for name in ("one", "two"):
        save(server, name=name, timeout_seconds=25)
    assert run_due() == 2
    for thread in threading.enumerate():
        if thread.name.startswith("check "):
            thread.join(timeout=30)
    assert [one.ok for one in CanaryRun.objects.all()] == [True, True]


def test_old_runs_are_removed(cast, server):
    canary = save(server)
    once(canary)
    assert expire(timezone.now()) == 0
    assert expire(timezone.now() + timedelta(days=31)) == 1


def test_an_edit_of_an_old_version_is_refused_and_every_change_is_audited(cast, server):
    canary = save(server, team=cast.support, headers={"X-Key": "secret-1"})
    save(server, canary, name="Renamed", version=1)
    with pytest.raises(ValidationError, match="while you edited"):
        save(server, canary, name="Lost", version=1)
    run_now(author=Author(user=cast.olu), canary=canary)
    found = AuditEntry.objects.filter(action__startswith="canary.").order_by("id")
    assert [one.action for one in found] == ["canary.add", "canary.edit", "canary.run"]
    assert found[1].after["headers"] == ["X-Key"]


# --- Pages ----------------------------------------------------------------------------------------------------------
FORM = {
    "name": "Support answers",
    "method": "POST",
    "headers": f"Authorization: {TOKEN}",
    "body": '{"q": 1}',
    "every_seconds": "300",
    "timeout_seconds": "20",
    "expected_status": "200",
    "assertions": ASKED,
    "is_active": "on",
}


def page(client, path, user, status=200) -> str:
    client.force_login(user)
    answer = client.get(path)
    assert answer.status_code == status
    return answer.content.decode()


def test_a_check_is_made_in_the_browser_and_shows_its_answers_but_no_secret(client, cast, server):
    client.force_login(cast.mia)
    answer = client.post("/alerts/checks/add/", FORM | {"url": f"{server.url}/ask", "team": cast.support.pk})
    canary = Canary.objects.get()
    assert answer["Location"] == f"/alerts/checks/{canary.pk}/"
    assert "Not run yet" in page(client, "/alerts/checks/", cast.vera)
    server.reply = Reply(status=500, body=b"<script>alert(1)</script>")
    once(canary)
    once(canary)
    shown = page(client, f"/alerts/checks/{canary.pk}/", cast.vera)
    assert "Failing, 2 in a row" in shown
    assert "Status 500 instead of 200" in shown
    assert "<script>alert(1)" not in shown
    assert "Authorization" in shown
    assert "<strong>1</strong> of 1 check failing: Support answers" in page(client, "/alerts/checks/", cast.vera)
    for path in (f"/alerts/checks/{canary.pk}/", f"/alerts/checks/{canary.pk}/edit/"):
        assert "tok-123456" not in page(client, path, cast.mia)


def test_an_edit_keeps_the_headers_unless_told_otherwise(client, cast, server):
    canary = save(server, team=cast.support, headers={"Authorization": TOKEN})
    client.force_login(cast.mia)
    edit = FORM | {"url": canary.url, "team": cast.support.pk, "headers": "", "version": "1"}
    client.post(f"/alerts/checks/{canary.pk}/edit/", edit)
    once(canary)
    assert server.received[-1].headers["authorization"] == TOKEN
    client.post(f"/alerts/checks/{canary.pk}/edit/", edit | {"headers": "-", "version": "2"})
    canary.refresh_from_db()
    assert (canary.header_names, canary.headers_sealed) == ([], "")


def test_headers_do_not_follow_to_another_host(client, cast, server):
    canary = save(server, team=cast.support, headers={"Authorization": TOKEN})
    client.force_login(cast.mia)
    edit = FORM | {"url": "https://evil.example/", "team": cast.support.pk, "headers": "", "version": "1"}
    answer = client.post(f"/alerts/checks/{canary.pk}/edit/", edit)
    assert "enter the headers again" in answer.content.decode()
    canary.refresh_from_db()
    assert canary.url == f"{server.url}/ask"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"url": "ftp://x"}, "must begin with https"),
        ({"url": "https://u:p@x.example/"}, "must not hold a user name"),
        ({"headers": "nonsense"}, "Name: value"),
        ({"assertions": "json ok\nwhatever"}, "whatever"),
        ({"every_seconds": "60", "timeout_seconds": "60"}, "shorter than the time between"),
    ],
    ids=["scheme", "password", "header", "assertion", "timeout"],
)
def test_the_form_says_what_to_fix(client, cast, change, says):
    client.force_login(cast.mia)
    answer = client.post("/alerts/checks/add/", FORM | {"url": "https://x.example/", "team": cast.support.pk} | change)
    assert says in answer.content.decode()
    assert not Canary.objects.exists()


def test_a_stranger_finds_nothing_and_a_viewer_changes_nothing(client, cast, server):
    canary = save(server, team=cast.support)
    page(client, f"/alerts/checks/{canary.pk}/", cast.stan, 404)
    assert "Run now" not in page(client, f"/alerts/checks/{canary.pk}/", cast.vera)
    page(client, f"/alerts/checks/{canary.pk}/edit/", cast.vera, 403)
    page(client, "/alerts/checks/add/", cast.vera, 403)
    assert client.post(f"/alerts/checks/{canary.pk}/run/").status_code == 403
    client.force_login(cast.olu)
    assert client.post(f"/alerts/checks/{canary.pk}/run/").status_code == 302
