"""Writing the outbox: who is told what, once; and who is on call."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.db import transaction

from accounts.actions import Author
from incidents.actions.incidents import declare_incident
from incidents.actions.notifying import notify
from incidents.models import Channel, Delivery, NotificationRoute, Rota, RotaMember, RotaOverride
from incidents.queries.oncall import duty, on_call, who_is_on_call, with_people
from incidents.seal import SealBroken, seal, unseal

NOON, DAY = datetime(2026, 5, 4, 12, tzinfo=UTC), timedelta(days=1)


def make_channel(name="chat", team=None, routed=True, **more) -> Channel:
    """An e-mail channel of `team`, with a route for everything of that team."""
    facts = {"kind": "email", "address": seal("a@desk.example"), "shown": "a@desk.example"}
    channel = Channel.objects.create(name=name, team=team, **facts | more)
    if routed:
        NotificationRoute.objects.create(team=team, channel=channel)
    return channel


def told(team, **more) -> int:
    facts = {"kind": "alert", "severity": "warning", "route": "ticket", "title": "Error rate", "body": "5 %"}
    return notify(**facts | {"team": team, "url": "/alerts/1/", "key": "group:1", "at": NOON} | more)


def test_a_channel_is_told_once_however_often_and_by_however_many_routes(cast):
    channel = make_channel(team=cast.support)
    NotificationRoute.objects.create(team=None, channel=channel, least_severity="warning")
    assert (told(cast.support), told(cast.support)) == (1, 0)
    assert Delivery.objects.get().state == "waiting"


def test_a_route_takes_its_team_its_severities_and_its_kind_of_route(cast):
    loud = make_channel("pager", team=cast.support, routed=False)
    NotificationRoute.objects.create(team=cast.support, channel=loud, least_severity="critical", route="page")
    every = make_channel("log")
    assert told(cast.support) == 1
    assert told(cast.support, key="2", severity="critical", route="page") == 2
    assert told(cast.search, key="3", severity="critical", route="page") == 1
    assert set(Delivery.objects.filter(key="2").values_list("channel", flat=True)) == {loud.pk, every.pk}


def test_a_channel_that_is_switched_off_is_told_nothing(cast):
    make_channel(team=cast.support, is_active=False)
    assert told(cast.support) == 0


def test_what_is_rolled_back_is_not_told(cast):
    make_channel(team=cast.support)
    with pytest.raises(RuntimeError), transaction.atomic():
        told(cast.support)
        raise RuntimeError
    assert not Delivery.objects.exists()


def test_in_quiet_hours_only_pages_are_due_at_once(cast):
    make_channel(team=cast.support, quiet_from=time(22), quiet_until=time(7), zone="Europe/Berlin")
    night = datetime(2026, 5, 4, 23, tzinfo=UTC)
    told(cast.support, key="1", at=night)
    told(cast.support, key="2", at=night, route="page")
    assert Delivery.objects.get(key="1").due_at == datetime(2026, 5, 5, 5, tzinfo=UTC)
    assert Delivery.objects.get(key="2").due_at == night


def test_of_a_private_incident_only_its_number_goes_out(cast):
    make_channel(team=cast.support)
    facts = {"author": Author(cast.sam), "team": cast.support, "severity": 1, "at": NOON}
    incident = declare_incident(title="Keys on a public page", is_private=True, **facts)
    told(cast.support, title="Keys on a public page", body="of customer Initech", incident=incident)
    delivery = Delivery.objects.get(key="group:1")
    assert (delivery.title, delivery.body) == (f"INC-{incident.pk} (private)", "")
    assert not Delivery.objects.filter(title__contains="public page").exists()


@pytest.mark.parametrize(("severity", "route"), [(1, "page"), (2, "page"), (3, "ticket"), (4, "report")])
def test_an_incident_that_a_person_declares_is_told_of_by_its_severity(cast, severity, route):
    make_channel(team=cast.support)
    facts = {"team": cast.support, "title": "Checkout is down", "severity": severity, "at": NOON}
    incident = declare_incident(author=Author(cast.olu), **facts)
    delivery = Delivery.objects.get()
    assert (delivery.route, delivery.kind, delivery.incident) == (route, "incident", incident)
    assert delivery.title == f"SEV{severity} declared: Checkout is down"
    declare_incident(author=Author(cast.olu), is_drill=True, **facts)
    declare_incident(author=Author(label="alert rules"), source_kind="alert_group", source_key="7", **facts)
    assert Delivery.objects.count() == 1


def test_what_is_sealed_is_not_readable_without_the_key(settings):
    sealed = seal("https://hooks.example/T0/secret")
    assert "secret" not in sealed
    assert unseal(sealed) == "https://hooks.example/T0/secret"
    settings.SECRET_KEY, old = "another key " * 5, settings.SECRET_KEY
    with pytest.raises(SealBroken, match="SECRET_KEY"):
        unseal(sealed)
    settings.SECRET_KEY_FALLBACKS = [old]
    assert unseal(sealed) == "https://hooks.example/T0/secret"


def make_rota(team, *people, name="primary", level=1, **more) -> Rota:
    """A weekly rota that began on Monday, 2 March 2026, 9:00 UTC."""
    facts = {"handover_at": time(9), "starts_on": date(2026, 3, 2)} | more
    rota = Rota.objects.create(team=team, name=name, level=level, **facts)
    RotaMember.objects.bulk_create(RotaMember(rota=rota, user=user, position=n) for n, user in enumerate(people, 1))
    return rota


def test_on_call_is_each_level_in_order_and_the_next_after_the_hand_over(cast):
    make_rota(cast.support, cast.tara, name="second", level=2)
    make_rota(cast.support, cast.olu, cast.mia)
    monday = datetime(2026, 3, 9, 9, tzinfo=UTC)
    assert on_call(cast.support, monday - timedelta(seconds=1)) == [cast.olu, cast.tara]
    assert on_call(cast.support, monday) == [cast.mia, cast.tara]


def test_a_team_without_a_rota_has_that_for_every_team(cast):
    make_rota(None, cast.ada)
    assert on_call(cast.support, NOON) == [cast.ada]
    make_rota(cast.support, cast.olu)
    assert on_call(cast.support, NOON) == [cast.olu]


def test_somebody_whose_account_is_closed_is_not_on_call(cast):
    make_rota(cast.support, cast.olu)
    cast.olu.is_active = False
    cast.olu.save()
    assert on_call(cast.support, NOON) == []
    assert who_is_on_call(cast.vera, NOON) == {None}


def test_who_is_on_call_is_who_each_rota_says(cast):
    rotas = [
        make_rota(cast.support, cast.olu, cast.mia),
        make_rota(cast.support, cast.vera, name="closed"),
        make_rota(cast.search, name="empty"),
        make_rota(None, cast.ada, cast.tara, name="all"),
        make_rota(cast.support, cast.tara, name="second", level=2),
    ]
    for covered, start, length in ((rotas[0], 0, 3), (rotas[0], 1, 1), (rotas[3], 5, 2)):
        span = {"starts_at": NOON + DAY * start, "ends_at": NOON + DAY * (start + length)}
        RotaOverride.objects.create(rota=covered, user=cast.tara if start else cast.stan, **span)
    type(cast.vera).objects.filter(pk=cast.vera.pk).update(is_active=False)
    fresh = list(with_people(Rota.objects.filter(level=1)))
    for at in (NOON - DAY, *(NOON + DAY * days for days in range(20))):
        people = {duty(rota, at).user for rota in fresh}
        assert who_is_on_call(cast.ada, at) == {person and person.pk for person in people}


def test_a_stranger_does_not_see_who_is_on_call(cast):
    make_rota(cast.support, cast.olu)
    assert who_is_on_call(cast.stan, NOON) == set()
    assert who_is_on_call(cast.vera, NOON) == {cast.olu.pk}
