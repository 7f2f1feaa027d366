"""One pass over what was used since the last: every slice's hours go through its trackers.

Hours older than SETTLE are sealed: they enter the state that is kept. Younger ones are looked at again in each run, on
a copy, so events up to SETTLE late still count; and the hour that runs is glanced at. Whatever a run finds is put in
the place of what earlier runs found for the same hours, so a run twice, late or not at all changes nothing else.
"""

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby

import msgspec
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, Min

from accounts.models import Team
from budgets.anomalies.hours import Hours, heard, nothing, read_hours, usual_cost
from budgets.anomalies.keep import Found, keep
from budgets.models import AnomalyWatch
from budgets.rules.episode import Episode, Hour, Tracker, Watched

HOUR = timedelta(hours=1)
SETTLE = timedelta(hours=3)
HISTORY = timedelta(days=45)  # learnt from when a team is first seen
TEAMS = 25  # read by one query
SLICES = 100  # watched of one team, those with most calls first
SHARE = Decimal("0.01")  # of a team's usual cost, below which nothing matters
EVERY = timedelta(minutes=5)
SECONDS = 45.0
_LOCK = 7_302_031


@dataclass(frozen=True)
class Span:
    """What a run looks at: hours before `sealed` are kept for good, those before `running` are over."""

    sealed: datetime
    running: datetime

    @classmethod
    def at(cls, now: datetime) -> "Span":
        running = now.replace(minute=0, second=0, microsecond=0)
        return cls(running - SETTLE, running)


def evaluate(now: datetime, *, every: timedelta = EVERY, seconds: float = SECONDS) -> int:
    """Evaluate each team not evaluated for `every`, those furthest behind first; how many teams were done.

    No team is begun after `seconds`; the next run goes on with the rest.
    """
    until, done = time.monotonic() + seconds, 0
    for start, teams in _chunks(now, every):
        if time.monotonic() < until:
            done += _evaluate_teams(teams, start, now, until)
    return done


def _chunks(now: datetime, every: timedelta) -> Iterator[tuple[datetime, list[Team]]]:
    """The hour from which on to read, and teams that are due and were left there; those furthest behind first."""
    first = Span.at(now).sealed - HISTORY
    last = AnomalyWatch.objects.values("team").annotate(sealed=Min("sealed_until"), evaluated=Max("evaluated_at"))
    seen = {row["team"]: row for row in last}
    due = [team for team in Team.objects.all() if team.pk not in seen or seen[team.pk]["evaluated"] <= now - every]
    begin = {team: max(first, seen[team.pk]["sealed"]) if team.pk in seen else first for team in due}
    due.sort(key=begin.__getitem__)
    for at, alike in groupby(due, key=begin.__getitem__):
        teams = list(alike)
        for place in range(0, len(teams), TEAMS):
            yield at, teams[place : place + TEAMS]


def _evaluate_teams(teams: list[Team], start: datetime, now: datetime, until: float) -> int:
    ids = [team.pk for team in teams]
    hours, costs = read_hours(ids, start, now, now), usual_cost(ids, now)
    spoken = heard(start, now, now)
    least = Decimal(str(settings.ANOMALY_LEAST_USD))
    done = 0
    for team in teams:
        if time.monotonic() > until:
            break
        mine = {key: found for key, found in hours.items() if key[0] == team.slug}
        done += _evaluate_team(team, mine, spoken, max(least, SHARE * costs.get(team.slug, Decimal(0))), start, now)
    return done


def _evaluate_team(
    team: Team, hours: Hours, spoken: set[datetime], least: Decimal, start: datetime, now: datetime
) -> bool:
    """One transaction; False where another process has the team in hand. `spoken`: hours in which anybody was heard."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK, team.pk % 2**31])
        if not cursor.fetchone()[0]:
            return False
        span, found = Span.at(now), []
        for watch in _watches(team, hours, start, now):
            mine = hours.get((team.slug, watch.feature, watch.model), {})
            watch.evaluated_at = now
            found.append(_evaluate_watch(watch, mine, spoken, least, span))
        keep(team, found, now)
    return True


def _watches(team: Team, hours: Hours, start: datetime, now: datetime) -> list[AnomalyWatch]:
    """The team's watches, made for slices not yet watched."""
    known = list(AnomalyWatch.objects.filter(team=team).select_related("team"))
    slices = {(watch.feature, watch.model) for watch in known}
    fresh = [(key[1], key[2]) for key in sorted(hours, key=lambda key: -_calls(hours[key]))]
    fresh = [one for one in fresh if one not in slices][: max(0, SLICES - len(known))]
    begin = {"team": team, "state": b"", "sealed_until": start, "evaluated_at": now}
    new = [AnomalyWatch(feature=feature, model=model, **begin) for feature, model in fresh]
    return known + AnomalyWatch.objects.bulk_create(new)


def _calls(hours: dict[datetime, Hour]) -> int:
    return sum(hour.calls + hour.requests for hour in hours.values())


def _evaluate_watch(
    watch: AnomalyWatch, hours: dict[datetime, Hour], spoken: set[datetime], least: Decimal, span: Span
) -> Found:
    since, episodes = watch.sealed_until, []
    trackers = unpacked(bytes(watch.state), least)
    for at in _between(watch.sealed_until, span.sealed):
        episodes += _step(trackers, at, _hour(hours, spoken, at))
    if watch.sealed_until < span.sealed or not watch.state:
        watch.state, watch.sealed_until = packed(trackers), max(span.sealed, watch.sealed_until)
        watch.save()
    else:
        watch.save(update_fields=["evaluated_at"])
    for at in _between(watch.sealed_until, span.running):
        episodes += _step(trackers, at, _hour(hours, spoken, at))
    running = hours.get(span.running)
    if running:
        episodes += [(t.metric, seen) for t in trackers if (seen := t.glance(span.running, running))]
    return Found(watch, since, {(metric, episode.started_at): episode for metric, episode in episodes}, least)


def _step(trackers: list[Tracker], at: datetime, hour: Hour | None) -> list[tuple[Watched, Episode]]:
    return [(tracker.metric, seen) for tracker in trackers if (seen := tracker.step(at, hour))]


def _hour(hours: dict[datetime, Hour], spoken: set[datetime], at: datetime) -> Hour | None:
    """None where nobody sent anything: rather the desk was not reached than nobody worked."""
    return hours.get(at) or (nothing(at) if at in spoken else None)


def _between(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += HOUR


def packed(trackers: list[Tracker]) -> bytes:
    """Trackers as a row keeps them: some kB for a month of hours."""
    return zlib.compress(msgspec.msgpack.encode({one.metric.value: one.state() for one in trackers}), level=1)


def unpacked(state: bytes, least_usd: Decimal) -> list[Tracker]:
    """The trackers of a row; fresh ones of a new row."""
    kept = msgspec.msgpack.decode(zlib.decompress(state)) if state else {}
    return [
        Tracker.restored(metric, least_usd, kept[metric.value]) if metric.value in kept else Tracker(metric, least_usd)
        for metric in Watched
    ]
