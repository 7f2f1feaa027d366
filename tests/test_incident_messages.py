"""Messages: templates filled with facts, a second person's review, sending, the mail, the next-update timer."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core import mail
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from incidents.actions.mailing import mail_due
from incidents.actions.roles import give_role
from incidents.models import Incident, Message
from incidents.rules.messages import Facts, draft, gaps
from tests.incident import SCRIPT, declared, url_of

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
FACTS = Facts(
    number="INC-7", title="Answers fail", severity="SEV2", state="Mitigating", since=NOON - timedelta(minutes=50),
    now=NOON, failure_mode="provider", failure_mode_label="Provider outage or degradation", requests=1200,
    failing=Decimal("0.31"), usual=Decimal("0.01"), worst=["chat", "acme"], cost=Decimal("12.4"),
    extra_cost=Decimal("4.3"), mitigations=["Failover to azure"], next_update=timedelta(minutes=60), commander="Olu",
)  # fmt: skip


def test_an_internal_update_says_what_the_figures_say():
    made = draft("internal", FACTS)
    assert made.subject == "INC-7 SEV2 Mitigating: Answers fail"
    for words in (
        "31 % of 1,200 requests failed (usually 1.0 %)",
        "since 4 May 11:10 UTC (50 min)",
        "Most hit: chat, acme",
        "Provider outage or degradation",
        "Failover to azure.",
        "$12.40, $4.30 more than usual",
        "Next update by 4 May 13:00 UTC",
    ):
        assert words in made.body


@pytest.mark.parametrize("kind", ["status", "customer"])
def test_people_outside_read_no_tenant_feature_cause_or_person(kind):
    made = draft(kind, FACTS)
    for word in ("acme", "chat", "azure", "provider", "Olu", "INC-7", "Answers fail"):
        assert word not in f"{made.subject} {made.body}"


def test_what_no_figure_knows_stands_in_brackets():
    assert gaps(draft("status", FACTS).body) == ["[what users can do meanwhile, or that there is none]"]
    assert "[none known, or what]" in draft("executive", FACTS).body
    assert gaps("see [1]") == []


def test_unknown_figures_are_said_to_be_unknown():
    made = draft("internal", Facts("INC-1", "x", "SEV3", "Declared", NOON, NOON))
    assert "How many requests fail is not known" in made.body
    assert "Cost so far: unknown" in made.body


def started(client, incident: Incident, kind: str) -> Message:
    client.post(url_of(incident, "message-add"), {"kind": kind})
    return Message.objects.latest("id")


def done(client, message: Message, do: str, **more):
    """The message's form as the page has it, without its brackets, sent with the button `do`."""
    message.refresh_from_db()
    subject, body = (text.translate({91: None, 93: None}) for text in (message.subject, message.body))
    texts = {"subject": subject, "body": body, "version": message.version, "do": do}
    return client.post(url_of(message.incident, "message", message.pk), texts | more)


pages = pytest.mark.django_db


@pages
def test_an_internal_update_goes_at_once_and_starts_the_timer(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    message = started(client, incident, "internal")
    assert done(client, message, "send", next_update_minutes=30).status_code == 302
    message.refresh_from_db(), incident.refresh_from_db()
    assert (message.state, message.sent_by) == ("sent", cast.olu)
    assert incident.next_update_at == message.sent_at + timedelta(minutes=30)
    assert "Internal update sent" in incident.timeline.latest("id").text
    assert AuditEntry.objects.filter(action="message.send").exists()


@pages
def test_what_others_read_needs_a_second_person(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    message = started(client, incident, "executive")
    page = done(client, message, "send").content.decode()
    assert "A second person approves it first" in page
    assert done(client, message, "approve").status_code == 200
    client.force_login(cast.mia)
    done(client, message, "approve")
    client.force_login(cast.olu)
    assert done(client, message, "send").status_code == 302
    message.refresh_from_db()
    assert (message.state, message.approved_by, message.sent_by) == ("sent", cast.mia, cast.olu)


@pages
def test_the_commander_sends_alone_and_that_is_recorded(client, cast):
    incident = declared(cast)
    give_role(author=Author(user=cast.olu), incident=incident, role="commander", user=cast.olu, at=timezone.now())
    client.force_login(cast.olu)
    done(client, started(client, incident, "status"), "send")
    assert incident.timeline.filter(text__contains="Status page sent, without a review").exists()


@pages
def test_nobody_approves_words_of_their_own(client, cast):
    client.force_login(cast.olu)
    message = started(client, declared(cast), "executive")
    client.force_login(cast.mia)
    assert done(client, message, "approve", subject="Words of Mia").status_code == 200
    assert done(client, message, "approve").status_code == 200
    message.refresh_from_db()
    assert (message.subject, message.author, message.approved_by) == ("Words of Mia", cast.mia, None)


@pages
def test_lines_as_browsers_send_them_change_nothing_and_a_subject_is_one_line(client, cast):
    client.force_login(cast.olu)
    message = started(client, declared(cast), "internal")
    done(client, message, "save", subject="Two\r\nlines", body="One\r\ntwo")
    message.refresh_from_db()
    version = message.version
    done(client, message, "save", body="One\r\ntwo")
    message.refresh_from_db()
    assert (message.subject, message.body, message.version) == ("Two lines", "One\ntwo", version)


@pages
def test_a_change_after_the_approval_takes_it_back(client, cast):
    incident = declared(cast)
    client.force_login(cast.olu)
    message = started(client, incident, "executive")
    done(client, message, "save")
    client.force_login(cast.mia)
    done(client, message, "approve")
    client.force_login(cast.olu)
    done(client, message, "save", subject="Other words")
    message.refresh_from_db()
    assert (message.state, message.approved_by) == ("review", None)


@pages
def test_brackets_are_not_sent_to_people_outside(client, cast):
    incident = declared(cast)
    give_role(author=Author(user=cast.olu), incident=incident, role="commander", user=cast.olu, at=timezone.now())
    client.force_login(cast.olu)
    message = started(client, incident, "status")
    page = done(client, message, "send", body="We work on it. Workaround: [what to do]").content.decode()
    assert "Fill in or take out what stands in brackets" in page
    message.refresh_from_db()
    assert (message.state, message.body) == ("draft", "We work on it. Workaround: [what to do]")


@pages
def test_two_people_who_edit_at_once_lose_nothing(client, cast):
    client.force_login(cast.olu)
    message = started(client, declared(cast), "internal")
    done(client, message, "save", subject="Of Olu")
    client.force_login(cast.mia)
    late = done(client, message, "save", subject="Of Mia", version=1)
    assert late.status_code == 409
    page = late.content.decode()
    assert "Of Olu" in page
    assert 'value="Of Mia"' in page


@pages
def test_what_was_sent_stays_as_it_was(client, cast):
    client.force_login(cast.olu)
    message = started(client, declared(cast), "internal")
    done(client, message, "send")
    page = done(client, message, "save", subject="Rewritten").content.decode()
    message.refresh_from_db()
    assert "Rewritten" not in message.subject
    assert "<textarea" not in page


@pages
def test_a_private_incident_or_a_drill_has_no_message_to_the_outside(client, cast):
    client.force_login(cast.tara)
    for incident in (declared(cast, is_private=True), declared(cast, is_drill=True)):
        kinds = dict(client.get(url_of(incident, "messages"), headers={"HX-Request": "true"}).context["kinds"])
        assert set(kinds) == {"internal", "executive"}
        client.post(url_of(incident, "message-add"), {"kind": "status"})
    assert not Message.objects.exists()


@pages
def test_mail_goes_once_to_people_who_do_not_see_each_other(client, cast, settings):
    settings.EMAIL_CONFIGURED = True
    client.force_login(cast.olu)
    message = started(client, declared(cast), "internal")
    done(client, message, "send", recipients="a@x.example, b@x.example, a@x.example")
    now = timezone.now()
    assert [mail_due(now), mail_due(now)] == [1, 0]
    (sent,) = mail.outbox
    assert (sent.bcc, sent.to) == (["a@x.example", "b@x.example"], [])


@pages
def test_mail_that_fails_is_tried_again_with_patience_and_then_said(client, cast, settings):
    settings.EMAIL_CONFIGURED = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_PORT = 1
    client.force_login(cast.olu)
    message = started(client, declared(cast), "internal")
    done(client, message, "send", recipients="a@x.example")
    now = timezone.now()
    assert [mail_due(now + timedelta(seconds=s)) for s in (0, 10, 61, 600)] == [0, 0, 0, 0]
    message.refresh_from_db()
    assert (message.mail_attempts, message.mailed_at) == (3, None)
    assert "mail server refused" in message.mail_failure


@pages
@pytest.mark.parametrize("recipients", ["nobody", "a@x.example, b"])
def test_an_address_that_is_none_is_named(client, cast, recipients):
    client.force_login(cast.olu)
    page = done(client, started(client, declared(cast), "internal"), "send", recipients=recipients).content.decode()
    assert "is not an e-mail address" in page


@pages
def test_script_in_a_message_is_only_text(client, cast):
    client.force_login(cast.olu)
    incident = declared(cast, title=SCRIPT)
    message = started(client, incident, "internal")
    done(client, message, "send", body=SCRIPT)
    for name, more in (("message", [message.pk]), ("messages", []), ("detail", [])):
        assert SCRIPT not in client.get(url_of(incident, name, *more)).content.decode()


@pages
def test_a_viewer_reads_messages_and_writes_none(client, cast):
    client.force_login(cast.olu)
    message = started(client, declared(cast), "internal")
    client.force_login(cast.vera)
    assert client.get(url_of(message.incident, "message", message.pk)).status_code == 200
    assert done(client, message, "send").status_code == 403
    client.force_login(cast.stan)
    assert client.get(url_of(message.incident, "message", message.pk)).status_code == 404
