"""The pages of channels, routes and deliveries, over HTTP."""

import pytest

from accounts.models import AuditEntry
from incidents.actions.notifying import notify
from incidents.models import Channel, Delivery, NotificationRoute
from tests.test_notifying import NOON, make_channel, told

WEBHOOK = {"name": "hook", "address": "https://hooks.example.com/T0/very-secret", "per_minute": 5, "zone": "UTC"}
SLACK = {"name": "#oncall", "address": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "per_minute": 10}


def add(client, kind, **more):
    return client.post(f"/alerts/channels/add/?kind={kind}", WEBHOOK | {"owner": ""} | more)


def test_a_webhook_shows_its_secret_once_and_its_address_never(client, cast):
    client.force_login(cast.ada)
    page = add(client, "webhook").content.decode()
    assert "whsec_" in page
    shown = client.get("/alerts/channels/").content.decode()
    edited = client.get(f"/alerts/channels/{Channel.objects.get().pk}/").content.decode()
    assert "https://hooks.example.com/…" in shown
    assert "very-secret" not in page + shown + edited
    assert "whsec_" not in shown + edited
    assert "very-secret" not in str(AuditEntry.objects.get(action="channel.added").after)


def test_apprise_addresses_are_masked_and_wrong_ones_explained(client, cast):
    client.force_login(cast.ada)
    add(client, "apprise", **SLACK)
    assert Channel.objects.get().shown == "Slack: slack://T...2/A...D/T...Q"
    answer = add(client, "apprise", address="syslog://")
    assert "The desk does not send by Syslog." in answer.content.decode()
    answer = add(client, "apprise", address="jsons://host.example/?template=/etc/passwd")
    assert "it would read files" in answer.content.decode()
    assert Channel.objects.count() == 1


@pytest.mark.parametrize(
    ("kind", "wrong", "words"),
    [
        ("webhook", {"address": "ftp://a.example"}, "must begin with https://"),
        ("webhook", {"address": ""}, "This field is required"),
        ("email", {"address": "ada"}, "is not an e-mail address"),
        ("webhook", {"quiet_from": "22:00"}, "need a beginning and a different end"),
        ("webhook", {"zone": "Mars/Olympus"}, "is not a time zone"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_kept(client, cast, kind, wrong, words):
    client.force_login(cast.ada)
    assert words in add(client, kind, **wrong).content.decode()
    assert not Channel.objects.exists()


def test_an_edit_without_an_address_keeps_the_old_one(client, cast):
    channel = make_channel(team=cast.support)
    client.force_login(cast.mia)
    client.post(f"/alerts/channels/{channel.pk}/", {"name": "renamed", "address": "", "per_minute": 3, "zone": "UTC"})
    edited = Channel.objects.get()
    assert (edited.name, edited.per_minute, edited.address) == ("renamed", 3, channel.address)


def test_who_may_what(client, cast):
    channel = make_channel(team=cast.support)
    client.force_login(cast.vera)
    assert client.get("/alerts/channels/").status_code == 200
    assert client.get(f"/alerts/channels/{channel.pk}/").status_code == 403
    assert client.post(f"/alerts/channels/{channel.pk}/test/").status_code == 403
    client.force_login(cast.stan)
    assert client.get(f"/alerts/channels/{channel.pk}/").status_code == 404
    assert channel.shown not in client.get("/alerts/channels/").content.decode()


def test_everybody_may_have_a_channel_of_their_own_which_nobody_else_sees(client, cast):
    client.force_login(cast.vera)
    add(client, "email", owner="mine", address="vera@desk.example", name="my mail")
    mine = Channel.objects.get()
    assert (mine.user, mine.team) == (cast.vera, None)
    client.force_login(cast.ada)
    assert client.get(f"/alerts/channels/{mine.pk}/").status_code == 404
    assert add(client, "email", owner=str(cast.support.pk), address="a@desk.example").status_code == 302


def test_a_viewer_cannot_make_a_channel_of_the_team_or_of_the_organisation(client, cast):
    client.force_login(cast.vera)
    for owner in ("", str(cast.support.pk)):
        add(client, "email", owner=owner, address="vera@desk.example")
    assert not Channel.objects.exists()


def test_a_route_leads_to_a_channel_of_its_team_or_of_the_organisation(client, cast):
    ours, theirs = make_channel(team=cast.support, routed=False), make_channel("theirs", team=cast.search, routed=False)
    client.force_login(cast.ada)
    facts = {"team": cast.support.pk, "least_severity": "warning", "route": "page"}
    assert client.post("/alerts/routes/add/", facts | {"channel": theirs.pk}).status_code == 422
    assert client.post("/alerts/routes/add/", facts | {"channel": ours.pk}).status_code == 302
    assert client.post("/alerts/routes/add/", facts | {"channel": ours.pk}).status_code == 422
    route = NotificationRoute.objects.get()
    client.force_login(cast.vera)
    assert client.post(f"/alerts/routes/{route.pk}/remove/").status_code == 403
    client.force_login(cast.mia)
    client.post(f"/alerts/routes/{route.pk}/remove/")
    assert not NotificationRoute.objects.exists()


def test_a_test_message_stands_in_the_log(client, cast):
    channel = make_channel(team=cast.support)
    client.force_login(cast.mia)
    answer = client.post(f"/alerts/channels/{channel.pk}/test/", follow=True)
    assert "This is a test of chat" in answer.content.decode()
    assert AuditEntry.objects.filter(action="channel.tested", actor=cast.mia).exists()


def test_switching_off_drops_what_waits(client, cast):
    channel = make_channel(team=cast.support)
    told(cast.support)
    client.force_login(cast.mia)
    client.post(f"/alerts/channels/{channel.pk}/switch/")
    assert Delivery.objects.get().state == "dropped"
    assert "switched off" in client.get("/alerts/channels/").content.decode()


def test_the_log_shows_error_and_sends_again(client, cast):
    make_channel(team=cast.support)
    told(cast.support, title="<script>alert(1)</script>")
    Delivery.objects.update(state="failed", attempts=8, last_error="It answered 503.")
    client.force_login(cast.mia)
    page = client.get("/alerts/deliveries/?state=failed").content.decode()
    assert "It answered 503." in page
    assert "<script>alert(1)" not in page
    client.post(f"/alerts/deliveries/{Delivery.objects.get().pk}/resend/")
    assert (Delivery.objects.get().state, Delivery.objects.get().attempts) == ("waiting", 0)
    client.force_login(cast.stan)
    assert client.post(f"/alerts/deliveries/{Delivery.objects.get().pk}/resend/").status_code == 404


def test_pages_of_the_log_go_on_where_the_last_ended(client, cast, django_assert_max_num_queries):
    make_channel()
    for number in range(60):
        notify(
            kind="alert",
            team=cast.support,
            severity="info",
            route="report",
            title=f"number {number:02}",
            body="",
            url="",
            key=str(number),
            at=NOON,
        )
    client.force_login(cast.ada)
    with django_assert_max_num_queries(16):
        first = client.get("/alerts/deliveries/?channel=&state=")
    assert "number 59" in first.content.decode()
    assert "number 09" not in first.content.decode()
    second = client.get("/alerts/deliveries/" + first.context["older_url"]).content.decode()
    assert "number 09" in second
    assert "number 10" not in second
