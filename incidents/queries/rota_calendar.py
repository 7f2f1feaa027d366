"""The weeks ahead of rotas: who is on call when, what is not covered, and the iCal feed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils import timezone
from icalendar import Calendar, Event

from accounts.models import Team, User
from incidents.models import Channel, EscalationPolicy, Rota
from incidents.queries.oncall import people_of, rotation_of
from incidents.rules.rotas import spans

AHEAD = timedelta(weeks=4)
FEED_BACK, FEED_AHEAD = timedelta(weeks=4), timedelta(weeks=26)


@dataclass(frozen=True)
class Shift:
    """A span of one person; `user` None: nobody. `left` and `width`: percent of the weeks shown."""

    start: datetime
    end: datetime
    user: User | None
    cover: bool
    colour: int = 0
    left: float = 0.0
    width: float = 0.0


def shifts(rota: Rota, start: datetime, end: datetime) -> list[Shift]:
    """Who is on call from `start` to `end`, without a gap: nobody is a shift too."""
    people, whole = people_of(rota), (end - start).total_seconds()
    order = {pk: number for number, pk in enumerate(sorted(people))}
    return [
        Shift(
            start=span.start,
            end=span.end,
            user=people.get(span.person) if span.person else None,
            cover=span.cover,
            colour=order.get(span.person or 0, 0) % 8 + 1,
            left=round((span.start - start).total_seconds() / whole * 100, 3),
            width=round((span.end - span.start).total_seconds() / whole * 100, 3),
        )
        for span in spans(rotation_of(rota), start, end)
    ]


def problems(rotas: Sequence[Rota], teams: Sequence[Team], at: datetime) -> list[str]:
    """In sentences: what would leave a page of these weeks without an answer."""
    people = {pk for rota in rotas for pk in people_of(rota)}
    reached = set(Channel.objects.filter(user__in=people, is_active=True).values_list("user", flat=True))
    climbing = set(EscalationPolicy.objects.values_list("team", flat=True))
    covered = {rota.team_id for rota in rotas}
    found = [f"{rota} of {rota.team or 'every team'}: {problem}" for rota in rotas for problem in _of_rota(rota, at)]
    members = {one.user for rota in rotas for one in rota.members.all() if one.user.is_active}
    if silent := sorted(str(one) for one in members if one.pk not in reached):
        found.append(f"No channel of their own: {listed(silent)}. The team's is used.")
    if bare := [str(team) for team in teams if not covered & {None, team.pk}]:
        found.append(f"Nobody is on call for {listed(bare)}, for want of a rota.")
    if flat := [str(team) for team in teams if not climbing & {None, team.pk}]:
        found.append(f"Pages of {listed(flat)} do not climb: no escalation policy.")
    return found


def _of_rota(rota: Rota, at: datetime) -> list[str]:
    gaps = [one for one in shifts(rota, at, at + AHEAD) if one.user is None]
    found = [f"nobody from {_shown(one.start)} to {_shown(one.end)}." for one in gaps]
    found += [f"{one.user}'s account is closed." for one in rota.members.all() if not one.user.is_active]
    return found


def listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _shown(moment: datetime) -> str:
    """In the viewer's zone."""
    return f"{timezone.localtime(moment):%a %-d %b %H:%M}"


def feed(rota: Rota, at: datetime) -> bytes:
    """The rota as iCalendar (RFC 5545), from 4 weeks ago to 26 weeks ahead; a shift keeps its UID."""
    calendar = Calendar()
    calendar.add("prodid", "-//AI Ops Desk//on call//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", f"On call: {rota}")
    for shift in shifts(rota, at - FEED_BACK, at + FEED_AHEAD):
        event = Event()
        event.add("summary", f"{rota}: {shift.user}" if shift.user else f"{rota}: nobody")
        event.add("uid", f"rota-{rota.pk}-{shift.end.astimezone(UTC):%Y%m%dT%H%M%SZ}@ai-ops-desk")
        event.add("dtstart", shift.start.astimezone(UTC))
        event.add("dtend", shift.end.astimezone(UTC))
        event.add("dtstamp", at.astimezone(UTC))
        calendar.add_component(event)
    return calendar.to_ical()
