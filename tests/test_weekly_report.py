"""The weekly cost report: its facts, made and mailed once however often it is run, archived as it was."""

import csv
from datetime import timedelta
from decimal import Decimal

import pytest
from aiosmtpd.controller import Controller
from django.core import mail
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from budgets.actions import give_grant
from budgets.models import Commitment, Forecast, GuardCount, Report, ReportDelivery, ReportRecipient
from budgets.reports import mail_of, make_due, make_weekly, send_waiting
from budgets.rules.weeks import WEEK, week_name, week_of
from tests.cast import bearer, make_key, make_team
from tests.running_desk import free_port
from tests.test_forecast_making import make as make_budget
from tests.test_forecast_making import used_for
from tests.traffic import record
from usage.metrics import MetricQuery, query
from usage.rollups import drain

NOW = timezone.now()
LAST = week_of(NOW) - WEEK
pytestmark = pytest.mark.django_db


@pytest.fixture
def traffic(cast):
    record(cast.support, LAST + timedelta(hours=30), 5, prompt_version="v2", input_tokens=5_003)
    record(cast.support, LAST + timedelta(hours=31), 2, feature=None)
    record(cast.search, LAST + timedelta(hours=32), 1, model="house-model", provider="own")
    record(cast.support, LAST - WEEK + timedelta(hours=30), 2, prompt_version="v1")
    drain()


@pytest.fixture
def mailing(settings):
    settings.EMAIL_CONFIGURED = True
    settings.DESK_URL = "https://desk.example"


def test_weeks_are_named_by_iso(cast):
    monday = week_of(NOW)
    assert monday.weekday() == 0 and week_name(monday) == f"{NOW:%G}-W{NOW:%V}"


def test_the_facts_are_those_of_the_metric_query(cast, traffic):
    report = make_weekly(None, LAST, NOW)
    spend = query(MetricQuery(("cost_usd",), LAST, LAST + WEEK)).value("cost_usd")
    assert Decimal(report.facts["spend"]["cost"]) == spend
    versions = next(one for one in report.facts["changes"] if one["dimension"] == "prompt_version")
    assert {row["name"] for row in versions["rows"]} >= {"v1", "v2"}
    assert report.facts["unpriced"] == {
        "calls": 1, "unmetered": 0, "models": [{"model": "own house-model", "calls": 1}]
    }  # fmt: skip
    assert "feature" in {one["dimension"] for one in report.facts["untagged"]}
    assert report.facts["driver"]["finding"].startswith("Spend rose")


def test_its_forecast_names_the_budgets_that_will_be_exceeded(cast, client, mailing, mailoutbox):
    used_for(30, cast.support)
    make_budget(cast, limit="0.01", name="Support, monthly")
    make_budget(cast, limit="1000000", name="Plenty")
    call_command("forecast", verbosity=0)
    report = make_weekly(None, LAST, NOW)
    assert [one["name"] for one in report.facts["over"]] == ["Support, monthly"]
    client.force_login(cast.fatima)
    page = client.get(reverse("report-detail", args=[report.pk])).content.decode()
    assert "Support, monthly</strong> will be exceeded" in page and "in 80 of 100 cases" in page
    ReportRecipient.objects.create(email="boss@example.com")
    ReportDelivery.objects.create(report=report, email="boss@example.com")
    send_waiting(NOW)
    assert "Support, monthly will be exceeded" in mailoutbox[0].body


def test_a_week_s_report_is_made_once_and_stays_as_it_was(cast, traffic):
    assert make_due(NOW) == 1
    before = Report.objects.get().facts
    record(cast.support, LAST + timedelta(hours=40), 9)
    drain()
    assert make_due(NOW) == 0
    assert Report.objects.get().facts == before


def test_a_report_of_a_team_knows_nothing_of_others(cast, traffic):
    report = make_weekly(cast.search, LAST, NOW)
    assert report.facts["spend"]["cost"] is None and report.facts["spend"]["unknown"] == 1
    assert "answers" not in str([row["name"] for one in report.facts["changes"] for row in one["rows"]])


def test_each_recipient_gets_one_mail_though_the_task_runs_twice(cast, traffic, mailing):
    ReportRecipient.objects.create(team=None, email="cfo@desk.example")
    ReportRecipient.objects.create(team=cast.support, email="lead@desk.example")
    assert make_due(NOW) == 2
    assert (send_waiting(NOW), send_waiting(NOW), make_due(NOW)) == (2, 0, 0)
    assert sorted(one.to[0] for one in mail.outbox) == ["cfo@desk.example", "lead@desk.example"]


def test_the_mail_is_text_and_html_with_commitments_and_links(cast, traffic, mailing):
    Commitment.objects.create(text="Cache the prompt", owner="Mia", due_on=NOW.date())
    ReportRecipient.objects.create(team=None, email="cfo@desk.example")
    make_due(NOW)
    send_waiting(NOW)
    (sent,) = mail.outbox
    (html, kind), *_ = sent.alternatives
    assert kind == "text/html"
    for text in (sent.body, html):
        assert "data-exact" not in text
        assert "Cache the prompt" in text and "Mia" in text and "https://desk.example/reports/" in text


def test_an_attribute_from_telemetry_cannot_break_out_of_the_mail(cast, mailing):
    record(cast.support, LAST + timedelta(hours=1), 3, feature="<script>x</script>")
    drain()
    ReportRecipient.objects.create(team=None, email="cfo@desk.example")
    make_due(NOW)
    send_waiting(NOW)
    assert "<script>" not in mail.outbox[0].alternatives[0][0]


def test_without_mail_the_delivery_waits(cast, traffic, settings):
    settings.EMAIL_CONFIGURED = False
    ReportRecipient.objects.create(team=None, email="cfo@desk.example")
    make_due(NOW)
    assert send_waiting(NOW) == 0
    assert ReportDelivery.objects.get().state == "waiting"


def test_a_mail_server_that_is_away_is_tried_again_later(cast, traffic, mailing, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    ReportRecipient.objects.create(team=None, email="cfo@desk.example")
    make_due(NOW)
    assert send_waiting(NOW) == 0
    assert ReportDelivery.objects.get().state == "failed" and ReportDelivery.objects.get().error
    assert send_waiting(NOW) == 0
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert send_waiting(NOW + timedelta(hours=1)) == 1


class Inbox:
    """What a real mail server was handed."""

    def __init__(self) -> None:
        self.mails: list = []

    async def handle_DATA(self, server, session, envelope) -> str:
        self.mails.append(envelope)
        return "250 OK"


def test_a_real_mail_server_takes_it(cast, traffic, mailing, settings):
    inbox = Inbox()
    server = Controller(inbox, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server.sockets[0].getsockname()
        ReportRecipient.objects.create(team=None, email="cfo@desk.example")
        make_due(NOW)
        assert send_waiting(NOW) == 1
    finally:
        server.stop()
    (envelope,) = inbox.mails
    assert envelope.rcpt_tos == ["cfo@desk.example"]
    assert b"multipart/alternative" in envelope.content and b"text/html" in envelope.content


def test_a_report_is_made_by_hand_and_exported(client, cast, traffic):
    client.force_login(cast.fatima)
    answer = client.post(reverse("report-make"), {"make-team": ""})
    report = Report.objects.get(is_weekly=False)
    assert answer.url == reverse("report-detail", args=[report.pk])
    assert client.get(answer.url).status_code == 200
    text = client.get(reverse("report-csv", args=[report.pk])).content.decode()
    assert {row["section"] for row in csv.DictReader(text.splitlines())} >= {"spend", "changes", "guardrails"}


def test_the_csv_of_a_report_names_what_each_figure_is_of_and_keeps_numbers_below_zero(client, cast, traffic):
    report = make_weekly(None, LAST, NOW)
    row = {"name": "Search & Answers", "cost": "1.5", "change": "-0.25", "before": "1.75"}
    report.facts["changes"] = [{"more": 0, "dimension": "team", "rows": [row]}]
    report.save()
    client.force_login(cast.fatima)
    rows = list(csv.reader(client.get(reverse("report-csv", args=[report.pk])).content.decode().splitlines()))
    assert ["changes", "team/Search & Answers", "change", "-0.25"] in rows
    sections = list(dict.fromkeys(section for section, *_ in rows[1:]))
    assert sections[:2] == ["spend", "changes"] and sections.index("guardrails") < sections.index("unpriced")


def test_what_the_guard_denied_is_said_in_words(client, cast):
    GuardCount.objects.create(
        minute=LAST, team_id=cast.support.pk, decision="deny", code="requests_per_minute", budget_id=0, slot=0, count=6
    )
    report = make_weekly(None, LAST, NOW)
    client.force_login(cast.fatima)
    page = client.get(reverse("report-detail", args=[report.pk])).content.decode()
    assert "denied: requests per minute" in page
    assert "denied: requests per minute" in mail_of(report, "cfo@desk.example").body


def test_a_budget_with_a_grant_is_not_called_exceeded_below_what_it_may_use(cast):
    used_for(30, cast.support)
    budget = make_budget(cast, limit="0.01")
    give_grant(author=Author(user=cast.fatima), budget=budget, amount=Decimal("0.001"), valid_from=NOW,
               expires_at=NOW + timedelta(days=60), reason="A launch")  # fmt: skip
    call_command("forecast", verbosity=0)
    Forecast.objects.filter(budget=budget).update(expected=Decimal("0.0105"))
    assert make_weekly(None, LAST, NOW).facts["over"] == []


def test_recipients_and_commitments_are_edited_by_finance(client, cast):
    client.force_login(cast.fatima)
    client.post(reverse("recipient-add"), {"recipient-team": "", "recipient-email": "CFO@desk.example"})
    assert ReportRecipient.objects.get().email == "cfo@desk.example"
    data = {"team": "support", "text": "Shorter prompts", "owner": "Mia", "due_on": "2026-12-01"}
    client.post(reverse("commitment-add"), {f"commitment-{name}": value for name, value in data.items()})
    page = client.get(reverse("report-list")).content.decode()
    assert "cfo@desk.example" in page and "Shorter prompts" in page
    client.post(reverse("commitment-done", args=[Commitment.objects.get().pk]))
    client.post(reverse("recipient-remove", args=[ReportRecipient.objects.get().pk]))
    assert Commitment.objects.get().done_at and not ReportRecipient.objects.exists()


def test_a_wrong_field_is_named(client, cast):
    client.force_login(cast.fatima)
    answer = client.post(reverse("recipient-add"), {"recipient-team": "", "recipient-email": "nobody"}, follow=True)
    assert "email:" in answer.content.decode() and not ReportRecipient.objects.exists()


def test_a_stranger_neither_sees_nor_makes_a_report(client, cast):
    other = make_team("growth")
    for team in (None, other, cast.search):
        make_weekly(team, LAST, NOW)
    client.force_login(cast.vera)
    for report in Report.objects.all():
        assert client.get(reverse("report-detail", args=[report.pk])).status_code == 404
    assert client.post(reverse("report-make"), {"make-team": "support"}).status_code == 403
    assert client.post(reverse("recipient-add"), {}).status_code == 403


def test_a_read_key_gets_the_reports_of_its_team(client, cast, traffic):
    for team in (None, cast.support, cast.search):
        make_weekly(team, LAST, NOW)
    _, key = make_key(cast.support, "read")
    (report,) = client.get("/api/v1/reports", {"week": week_name(LAST)}, headers=bearer(key)).json()["reports"]
    assert report["facts"] == Report.objects.get(team=cast.support).facts
    refused = client.get("/api/v1/reports", {"week": "47"}, headers=bearer(key))
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "week")
