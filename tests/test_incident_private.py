"""A private incident is nowhere for who may not see it: not in lists, counts, other timelines or error texts."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from accounts.models import Role
from incidents.actions.drills import start_drill
from incidents.actions.roles import give_role
from incidents.models import AlertGroup, Channel, Delivery, Drill, NotificationRoute
from tests.cast import make_user
from tests.incident import declared, url_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def secret(cast):
    return declared(cast, title="Keys leaked", is_private=True)


def seen(client, incident, user) -> int:
    client.force_login(user)
    return client.get(url_of(incident)).status_code


def test_only_its_people_security_and_admins_see_it(client, cast, secret):
    expected = {"vera": 404, "olu": 404, "mia": 404, "emil": 404, "fatima": 404, "sam": 200, "tara": 200, "ada": 200}
    assert {name: seen(client, secret, getattr(cast, name)) for name in expected} == expected


def test_security_of_another_team_does_not(client, cast, secret):
    assert seen(client, secret, make_user("sid", Role.SECURITY, cast.search)) == 404


def test_who_gets_a_role_sees_it_from_then_on(client, cast, secret):
    give_role(author=Author(user=cast.tara), incident=secret, role="scribe", user=cast.olu, at=timezone.now())
    assert seen(client, secret, cast.olu) == 200
    assert seen(client, secret, cast.mia) == 404


def test_every_address_of_it_is_missing_for_others(client, cast, secret):
    entry = secret.timeline.get().pk
    client.force_login(cast.olu)
    for name in ("edit", "now", "entries", "impact", "changes"):
        assert client.get(url_of(secret, name)).status_code == 404
    for name in ("acknowledge", "move", "role", "note", "pin", "link", "edit"):
        assert client.post(url_of(secret, name), {"to": "resolved", "version": 1}).status_code == 404
    for name, last in (("export", "json"), ("image", entry), ("evidence", entry)):
        assert client.get(url_of(secret, name, last)).status_code == 404


def test_neither_list_nor_search_nor_its_number_tells_of_it(client, cast, secret):
    client.force_login(cast.olu)
    for q in ("", "leaked", secret.number):
        context = client.get(reverse("incident-list"), {"q": q}).context
        assert (context["open"], context["open_count"], context["ever"]) == ([], 0, False)


def test_the_timeline_of_a_public_incident_does_not_point_to_it(client, cast, secret):
    public = declared(cast)
    client.force_login(cast.tara)
    client.post(url_of(secret, "link"), {"other": public.pk})
    assert secret.timeline.filter(text__startswith="Linked with").count() == 1
    client.force_login(cast.olu)
    page = client.get(url_of(public)).content.decode()
    assert url_of(secret) not in page
    assert "leaked" not in page


def test_a_public_incident_is_not_merged_into_it(client, cast, secret):
    public = declared(cast)
    client.force_login(cast.tara)
    client.post(url_of(public, "link"), {"other": secret.pk, "merge": 1})
    public.refresh_from_db()
    assert public.is_open


def test_naming_it_is_answered_as_if_it_were_not_there(client, cast, secret):
    public = declared(cast)
    client.force_login(cast.olu)
    answers = [
        client.post(url_of(public, "link"), {"other": number}, follow=True).content.decode()
        for number in (secret.pk, 999_999)
    ]
    assert all("There is no such incident" in page for page in answers)


def test_declaring_from_alerts_that_it_has_taken_does_not_tell_of_it(client, cast, secret):
    group = AlertGroup.objects.create(
        team=cast.support,
        key="k",
        title="t",
        severity="critical",
        route="page",
        opened_at=timezone.now(),
        incident=secret,
    )
    client.force_login(cast.olu)
    url = f"{reverse('incident-declare')}?group={group.pk}"
    facts = {"title": "Mine", "severity": 2, "team": cast.support.pk, "impact_started_at": "2026-05-04T12:00"}
    page = client.post(url, facts, follow=True).content.decode()
    assert "Mine" in page
    assert "leaked" not in page
    assert url_of(secret) not in page
    group.refresh_from_db()
    assert group.incident == secret


def test_the_page_of_a_drill_does_not_tell_of_it(client, cast, secret):
    facts = {"team": cast.support, "kind": "game_day", "scenario": "provider-outage", "is_blind": False}
    author = Author(user=cast.olu)
    drill = start_drill(author=author, lasts=timedelta(minutes=20), at=timezone.now(), **facts)
    Drill.objects.filter(pk=drill.pk).update(incident=secret)
    for user, tells in ((cast.olu, False), (cast.sam, True)):
        client.force_login(user)
        assert (secret.title in client.get(reverse("drill-detail", args=[drill.pk])).content.decode()) is tells


def test_what_was_told_before_it_became_private_is_its_number_alone(client, cast):
    channel = Channel.objects.create(team=cast.support, name="#oncall", kind="email", address="x", shown="x")
    NotificationRoute.objects.create(team=cast.support, channel=channel)
    incident = declared(cast, title="Keys leaked", summary="Of acme", severity=1, source_kind="person")
    client.force_login(cast.olu)
    form = client.get(url_of(incident, "edit")).context["form"]
    values = {name: "" if form[name].value() is None else form[name].value() for name in form.fields}
    posted = values | {"is_private": "on", "version": incident.version, "impact_started_at": "2026-01-01T00:00"}
    assert client.post(url_of(incident, "edit"), posted).status_code == 302
    told = Delivery.objects.get(incident=incident, kind="incident")
    assert (told.title, told.body) == (f"{incident.number} (private)", "")
