"""Reads of rotas: who is on call, and who will be."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Q, QuerySet

from accounts.access import visible_teams
from accounts.models import Team, User
from incidents.models import Rota, RotaOverride
from incidents.rules.rotas import Cover, Rotation, span_from


@dataclass(frozen=True)
class Duty:
    """Who is on call in a rota, until when nothing changes; `user` None: nobody."""

    rota: Rota
    user: User | None
    until: datetime


def rotation_of(rota: Rota) -> Rotation:
    """The rota as the rules read it; people whose account is closed are not on call."""
    persons = tuple(one.user_id for one in rota.members.all() if one.user.is_active)
    covers = [Cover(one.user_id, one.starts_at, one.ends_at) for one in rota.overrides.all() if one.user.is_active]
    return Rotation(rota.zone, rota.handover_at, rota.starts_on, rota.days, persons, tuple(covers))


def with_people(rotas: QuerySet[Rota]) -> QuerySet[Rota]:
    """With all that `rotation_of` reads, in two queries for all of them."""
    return rotas.select_related("team").prefetch_related("members__user", "overrides__user")


def visible_rotas(user: User) -> QuerySet[Rota]:
    """Those of the user's teams and those for every team."""
    return with_people(Rota.objects.filter(Q(team__in=visible_teams(user)) | Q(team=None)))


def rotas_for(team: Team | None) -> list[Rota]:
    """The team's own, the first level first; where it has none, those for every team."""
    found = list(with_people(Rota.objects.filter(Q(team=team) | Q(team=None))))
    own = [rota for rota in found if rota.team == team]
    return own or [rota for rota in found if rota.team is None]


def people_of(rota: Rota) -> dict[int, User]:
    """Everybody a rota names, by id."""
    members = {one.user_id: one.user for one in rota.members.all()}
    return members | {one.user_id: one.user for one in rota.overrides.all()}


def duty(rota: Rota, at: datetime) -> Duty:
    """Who is on call in one rota at that moment."""
    span = span_from(rotation_of(rota), at)
    return Duty(rota, people_of(rota).get(span.person) if span.person else None, span.end)


def on_call(team: Team | None, at: datetime) -> list[User]:
    """Everybody on call for the team, the first to be paged first; empty where nobody is."""
    return _people(duty(rota, at) for rota in rotas_for(team))


def who_is_on_call(user: User, at: datetime) -> set[int | None]:
    """Ids of those who are paged first in any rota that the user sees; None where a rota has nobody.

    Drawn on every page, so rotas are read as bare values: hundreds of them would be thousands of objects.
    """
    rotas = Rota.objects.filter(Q(team__in=visible_teams(user)) | Q(team=None), level=1).order_by()
    active = Q(members__user__is_active=True)
    turns = ArrayAgg("members__user", filter=active, order_by="members__position", default=[])
    found = list(rotas.annotate(turns=turns).values_list("pk", "zone", "handover_at", "starts_on", "days", "turns"))
    if not found:
        return set()
    covers: dict[int, list[Cover]] = defaultdict(list)
    covering = RotaOverride.objects.filter(rota__in=rotas, user__is_active=True, starts_at__lte=at, ends_at__gt=at)
    for rota, person, start, end in covering.values_list("rota", "user", "starts_at", "ends_at").order_by("id"):
        covers[rota].append(Cover(person, start, end))
    return {
        span_from(Rotation(zone, handover, starts_on, days, tuple(persons), tuple(covers[rota])), at).person
        for rota, zone, handover, starts_on, days, persons in found
    }


def _people(duties: Iterable[Duty]) -> list[User]:
    found = {one.user.pk: one.user for one in duties if one.user}
    return list(found.values())
