"""Sending over real HTTP: at least once, bounded, with patience, and a dead channel is told of."""

import base64
import hashlib
import hmac
import json
import os
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.actions import Author
from incidents.actions.alerts import raise_alert
from incidents.actions.channels import ChannelFacts, add_channel, resend, send_test
from incidents.actions.grouping import attach
from incidents.actions.incidents import declare_incident
from incidents.actions.notifying import notify
from incidents.actions.sending import LEASE, channels_due, claim, settle
from incidents.models import Alert, Channel, Delivery, NotificationRoute
from incidents.outbound.by_webhook import seconds_of, signature
from incidents.outbound.message import Outcome
from incidents.outbound.sender import send, start, work
from incidents.rules.sending import ATTEMPTS, wait_after
from tests.test_weekly_report import Inbox, free_port
from tests.web_receiver import Reply, receiver

ADA = Author(label="tests")


@pytest.fixture
def server(settings):
    settings.OUTBOUND_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    settings.DESK_URL = "https://desk.example"
    with receiver() as running:
        yield running


def make_channel(server, kind="apprise", path="hook", team=None, **more) -> tuple[Channel, str]:
    """A channel to the server, with a route for everything; and its signing secret."""
    address = f"json://{server.address}/{path}" if kind == "apprise" else f"{server.url}/{path}"
    facts = ChannelFacts(name=kind, kind=kind, address=address, **more)
    channel, secret = add_channel(author=ADA, team=team, user=None, facts=facts)
    NotificationRoute.objects.create(team=team, channel=channel)
    return channel, secret


def tell(key="group:1", team=None, **more) -> int:
    facts = {"kind": "alert", "severity": "critical", "route": "ticket", "title": "Error rate above 5 %"}
    facts |= {"body": "31 % of 1,204 requests failed.", "url": "/alerts/7/"}
    return notify(**facts | {"team": team, "key": key, "at": timezone.now()} | more)


def make_due(*deliveries) -> None:
    """As if their wait, or the lease of their sender, had ended."""
    Delivery.objects.filter(pk__in=[one.pk for one in deliveries]).update(due_at=timezone.now() - timedelta(seconds=1))
    Channel.objects.update(paused_until=None)


@pytest.mark.django_db
def test_a_message_says_what_happened_with_absolute_links(server):
    channel, _ = make_channel(server)
    tell()
    assert work(channel.pk) == 1
    got = json.loads(server.received[0].body)
    assert got["title"] == "CRITICAL: Error rate above 5 %"
    assert "31 % of 1,204 requests failed." in got["message"]
    assert "https://desk.example/alerts/7/" in got["message"]
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.last_error) == ("sent", 1, "")


@pytest.mark.django_db
def test_an_alert_comes_with_its_incident_its_runbook_section_and_its_chart(server, cast):
    channel, _ = make_channel(server, "webhook", team=cast.support)
    facts = {"source_kind": "test", "source_key": "1", "severity": "critical", "route": "ticket", "title": "Slow"}
    facts |= {"runbook": "latency#mitigation", "url": "/spend/?feature=answers", "at": timezone.now()}
    alert = raise_alert(team=cast.support, **facts)
    incident = declare_incident(author=ADA, team=cast.support, title="Slow", severity=2, at=timezone.now())
    attach(author=ADA, group=alert.group, incident=incident)
    Delivery.objects.update(incident=incident)
    work(channel.pk)
    told = [json.loads(one.body) for one in server.received]
    (links,) = [body["data"]["links"] for body in told if body["type"] == "alert"]
    assert links == {
        "open": f"https://desk.example/alerts/{alert.pk}/",
        "incident": f"https://desk.example/incidents/{incident.pk}/",
        "runbook": "https://desk.example/runbooks/latency/#mitigation",
        "chart": "https://desk.example/spend/?feature=answers",
    }


@pytest.mark.django_db
def test_a_webhook_is_signed_so_that_its_receiver_can_check_it(server):
    channel, secret = make_channel(server, "webhook")
    tell()
    work(channel.pk)
    got = server.received[0]
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 300
    body = json.loads(got.body)
    assert (body["type"], body["data"]["key"]) == ("alert", "group:1")
    assert body["data"]["links"] == {"open": "https://desk.example/alerts/7/"}


@pytest.mark.django_db
def test_the_recipe_of_the_guide_takes_a_message_once_and_refuses_what_is_altered_or_old(server, monkeypatch):
    channel, secret = make_channel(server, "webhook")
    tell()
    work(channel.pk)
    got, names = server.received[0], {}
    guide = (Path(settings.BASE_DIR) / "docs" / "notifications.md").read_text()
    exec(guide.split("```python")[1].split("```")[0], names)
    verified, seen = names["verified"], set()
    assert not verified(secret, got.headers, got.body + b" ", seen)
    assert verified(secret, got.headers, got.body, seen)
    assert not verified(secret, got.headers, got.body, seen)
    later = time.time() + 301
    monkeypatch.setattr(time, "time", lambda: later)
    assert not verified(secret, got.headers, got.body, set())


def test_the_signature_is_that_of_the_specification():
    body = b'{"test": 2432232314}'
    found = signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["apprise", "webhook"])
def test_500_is_tried_again_under_the_same_id_after_a_wait(server, kind):
    channel, _ = make_channel(server, kind)
    server.reply = Reply(500)
    tell()
    assert work(channel.pk) == 0
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.last_error[-13:]) == ("waiting", 1, "answered 500.")
    assert timedelta(seconds=4) < delivery.due_at - timezone.now() <= timedelta(seconds=10)
    server.reply = Reply()
    make_due(delivery)
    assert work(channel.pk) == 1
    ids = {one.headers.get("webhook-id") for one in server.received}
    assert (len(server.received), len(ids)) == (2, 1)


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["apprise", "webhook"])
def test_429_is_obeyed_for_the_whole_channel(server, kind):
    channel, _ = make_channel(server, kind)
    server.reply = Reply(429, {"Retry-After": "120"})
    tell("1")
    tell("2")
    work(channel.pk)
    channel.refresh_from_db()
    assert len(server.received) == 1
    assert timedelta(seconds=110) < channel.paused_until - timezone.now() <= timedelta(seconds=120)
    assert channels_due(timezone.now()) == []
    assert channels_due(timezone.now() + timedelta(seconds=121)) == [channel.pk]


def test_retry_after_may_be_a_date_and_nonsense_is_ignored():
    assert seconds_of("7") == 7
    assert seconds_of("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert seconds_of("soon") is None


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["apprise", "webhook"])
def test_a_service_that_hangs_is_given_up_in_time_and_tried_again(server, kind, monkeypatch):
    monkeypatch.setattr(f"incidents.outbound.by_{kind}.SECONDS", 0.3)
    channel, _ = make_channel(server, kind)
    server.reply = Reply(hangs=20)
    tell()
    began = time.monotonic()
    work(channel.pk)
    assert time.monotonic() - began < 15
    assert Delivery.objects.get().state == "waiting"


@pytest.mark.django_db(transaction=True)
def test_a_channel_that_hangs_does_not_hold_up_another(server, monkeypatch):
    monkeypatch.setattr("incidents.outbound.by_webhook.SECONDS", 120)
    slow, _ = make_channel(server, "webhook", "slow")
    with receiver() as other:
        quick, _ = make_channel(other, "webhook", "quick")
        go_on = threading.Event()
        server.on_request = lambda: go_on.wait(60)
        tell()
        assert start([slow.pk, quick.pk]) == 2  # and the worker that started them goes on
        wait_for_state(slow, "sending")
        wait_for_state(quick, "sent")
        assert Delivery.objects.get(channel=slow).state == "sending"
        assert len(other.received) == 1
        go_on.set()
        wait_for_state(slow, "sent")


def wait_for_state(channel: Channel, state: str) -> None:
    deadline = time.monotonic() + 60
    while not Delivery.objects.filter(channel=channel, state=state).exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.django_db
def test_a_channel_that_stays_dead_is_given_up_and_raises_an_alert_until_it_works_again(server, cast):
    channel, _ = make_channel(server, team=cast.support)
    server.reply = Reply(503)
    tell(team=cast.support)
    for _ in range(ATTEMPTS):
        make_due(Delivery.objects.get(key="group:1"))
        work(channel.pk)
    delivery = Delivery.objects.get(key="group:1")
    assert (delivery.state, delivery.attempts) == ("failed", ATTEMPTS)
    alert = Alert.objects.get(source_kind="channel")
    assert (alert.severity, alert.route, alert.team, alert.is_firing) == ("critical", "page", cast.support, True)
    server.reply = Reply()
    send_test(author=ADA, channel=channel)
    work(channel.pk)
    alert.refresh_from_db()
    channel.refresh_from_db()
    assert not alert.is_firing
    assert (channel.dead_since, channel.last_error) == (None, "")


@pytest.mark.django_db
def test_a_refusal_for_good_is_not_tried_again(server):
    channel, _ = make_channel(server, "webhook")
    server.reply = Reply(404)
    tell()
    work(channel.pk)
    delivery = Delivery.objects.get(key="group:1")
    assert (delivery.state, delivery.attempts, delivery.last_error) == ("failed", 1, "It answered 404.")
    assert Alert.objects.filter(source_kind="channel").exists()


@pytest.mark.django_db
def test_a_storm_is_bounded_and_the_rest_is_one_digest(server):
    channel, _ = make_channel(server, per_minute=10)
    tell("page", route="page", title="The page")
    for number in range(321):
        tell(f"group:{number}", severity="warning", title=f"Alert {number}")
    work(channel.pk)
    assert len(server.received) == 10
    titles = [json.loads(one.body)["title"] for one in server.received]
    assert titles[0] == "CRITICAL: The page"
    assert titles[-1] == "DIGEST: 313 notifications at once"
    assert "and 303 more" in json.loads(server.received[-1].body)["message"]
    assert Delivery.objects.filter(state="digested", digest__kind="digest").count() == 313
    tell("next")
    assert work(channel.pk) == 0  # no room in this minute
    assert claim(channel.pk, timezone.now() + timedelta(minutes=1, seconds=1)) is not None


@pytest.mark.django_db
def test_a_private_address_is_refused_and_nothing_arrives(server, settings):
    apprise, _ = make_channel(server)
    webhook, _ = make_channel(server, "webhook")
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    tell()
    assert work(apprise.pk) + work(webhook.pk) == 0
    assert server.received == []
    assert {"private address" in one.last_error for one in Delivery.objects.all()} == {True}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["apprise", "webhook"])
def test_a_redirect_is_not_followed(server, kind):
    channel, _ = make_channel(server, kind)
    server.reply = Reply(307, {"Location": "/elsewhere"})
    tell()
    work(channel.pk)
    assert {one.path for one in server.received} == {"/hook"}
    assert Delivery.objects.get(key="group:1").state == "failed"


@pytest.mark.django_db
def test_no_secret_is_in_the_log_or_in_an_error(server, caplog):
    channel, secret = make_channel(server, "webhook", "T0/very-secret")
    apprise, _ = make_channel(server, path="very-secret")
    server.reply = Reply(500)
    tell()
    work(channel.pk)
    work(apprise.pk)
    server.shutdown()
    server.server_close()
    make_due(*Delivery.objects.all())
    work(channel.pk)
    work(apprise.pk)
    words = caplog.text + " ".join(Delivery.objects.values_list("last_error", flat=True)) + channel.shown
    assert "very-secret" not in words + apprise.shown
    assert "very-secret" not in channel.address + apprise.address
    assert secret not in channel.signing_secret


@pytest.mark.django_db
def test_who_takes_over_a_lease_that_ended_is_not_overruled_by_the_first(server):
    channel, _ = make_channel(server)
    tell()
    now = timezone.now()
    first = claim(channel.pk, now)
    assert claim(channel.pk, now + LEASE - timedelta(seconds=1)) is None
    second = claim(channel.pk, now + LEASE)
    assert second.pk == first.pk
    assert not settle(first, Outcome(False, "late"), now + LEASE)
    assert settle(second, Outcome(True), now + LEASE)
    assert (Delivery.objects.get().state, Delivery.objects.get().attempts) == ("sent", 2)


@pytest.mark.django_db
def test_a_delivery_whose_senders_all_died_is_given_up(server):
    channel, _ = make_channel(server)
    tell()
    Delivery.objects.update(attempts=ATTEMPTS)
    work(channel.pk)
    assert Delivery.objects.get(key="group:1").state == "failed"
    assert not [one for one in server.received if b"Error rate" in one.body]


@pytest.mark.django_db(transaction=True)
def test_senders_at_once_never_send_one_delivery_twice(server):
    channel, _ = make_channel(server, "webhook", per_minute=1000)
    for number in range(40):
        tell(str(number))

    def sender():
        try:
            deadline = time.monotonic() + 60
            while Delivery.objects.filter(state="waiting").exists() and time.monotonic() < deadline:
                work(channel.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=sender) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [one.headers["webhook-id"] for one in server.received]
    assert (len(ids), len(set(ids))) == (40, 40)
    assert not Delivery.objects.exclude(state="sent").exists()


@pytest.mark.django_db(transaction=True)
def test_a_sender_killed_while_sending_loses_nothing_and_its_successor_sends_under_the_same_id(server):
    channel, _ = make_channel(server, "webhook")
    tell()
    server.reply = Reply(hangs=60)
    arrived = threading.Event()
    server.on_request = arrived.set
    connection.close()
    child = os.fork()
    if child == 0:
        work(channel.pk)
        os._exit(0)
    assert arrived.wait(60)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert Delivery.objects.get().state == "sending"
    server.reply = Reply()
    assert work(channel.pk) == 0  # its lease has not ended
    make_due(Delivery.objects.get())
    assert work(channel.pk) == 1
    assert [one.headers["webhook-id"] for one in server.received] == [f"msg_{Delivery.objects.get().pk}"] * 2


@pytest.mark.django_db
def test_a_resend_keeps_its_id(server):
    channel, _ = make_channel(server, "webhook")
    tell()
    work(channel.pk)
    assert resend(author=ADA, delivery=Delivery.objects.get(), at=timezone.now())
    assert not resend(author=ADA, delivery=Delivery.objects.get(), at=timezone.now())  # it is under way
    work(channel.pk)
    assert len({one.headers["webhook-id"] for one in server.received}) == 1
    assert len(server.received) == 2


@pytest.mark.django_db
def test_a_test_is_sent_also_while_the_channel_rests(server):
    channel, _ = make_channel(server)
    Channel.objects.update(paused_until=timezone.now() + timedelta(hours=1))
    tell()
    send_test(author=ADA, channel=channel)
    assert channels_due(timezone.now()) == [channel.pk]
    work(channel.pk)
    titles = [json.loads(one.body)["title"] for one in server.received]
    assert titles[0] == "TEST: This is a test of apprise"
    assert len(titles) == 2  # it works again, so what waited follows


@pytest.mark.django_db
def test_mail_is_handed_to_a_real_server(server, settings):
    inbox = Inbox()
    mail_server = Controller(inbox, hostname="127.0.0.1", port=free_port())
    mail_server.start()
    try:
        settings.EMAIL_CONFIGURED, settings.EMAIL_BACKEND = True, "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = mail_server.server.sockets[0].getsockname()
        facts = ChannelFacts(name="mail", kind="email", address="ada@desk.example, olu@desk.example")
        channel, _ = add_channel(author=ADA, team=None, user=None, facts=facts)
        NotificationRoute.objects.create(channel=channel)
        tell(title="Error rate\r\nBcc: x@evil.example")
        assert work(channel.pk) == 1
    finally:
        mail_server.stop()
    (envelope,) = inbox.mails
    assert envelope.rcpt_tos == ["ada@desk.example", "olu@desk.example"]
    assert b"https://desk.example/alerts/7/" in envelope.content
    assert b"Subject: CRITICAL: Error rate Bcc: x@evil.example" in envelope.content


@pytest.mark.django_db
def test_a_bug_in_a_service_is_an_outcome_without_the_address(server, monkeypatch, caplog):
    channel, _ = make_channel(server, "webhook", "very-secret")
    tell()

    def broken(*args, **kwargs):
        raise KeyError("very-secret")

    monkeypatch.setattr("incidents.outbound.by_webhook.request", broken)
    assert send(claim(channel.pk, timezone.now())) == Outcome(False, "An unexpected error: KeyError.")
    assert "very-secret" not in caplog.text


def test_waits_double_up_to_a_quarter_of_an_hour_and_differ_by_chance():
    assert [wait_after(n, 1).total_seconds() for n in range(1, 9)] == [10, 20, 40, 80, 160, 320, 640, 900]
    assert wait_after(1, 0).total_seconds() == 5
