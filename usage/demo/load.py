"""Puts the demo into the database, brings it up to now, takes it out again: its only contact with storage."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from multiprocessing import get_context
from typing import Any

import django
from django.db import connection, transaction
from django.db.models import Count, Max, Min

from accounts.actions import audit
from accounts.demo import create_demo_people, create_demo_teams, remove_demo_people
from accounts.models import Team
from usage import partitions, rollups
from usage.actions import record_events
from usage.demo.cast import LIMITS
from usage.demo.changes import CHANGES, markers
from usage.demo.hours import LONGEST, events_between
from usage.models import ChangeMarker, LateMinute, ProviderLimit, UsageEvent
from usage.rollups.drain import TEAM_LOCK

WINDOW = timedelta(days=30)
BATCH = 4_000
# Events are made hour by hour, so after a break the last time stored may be this far ahead of what is missing.
_OVERLAP = timedelta(hours=1) + LONGEST
# Every table that holds rows of a team without a foreign key to it.
_TABLES = (
    "usage_event",
    "usage_minute",
    "usage_tenant_minute",
    "usage_hour",
    "usage_tenant_hour",
    "usage_day",
    "usage_tenant_day",
    "usage_series",
    "usage_rollup_mark",
    "usage_batch_ledger",
    "usage_event_stamp",
)


@dataclass(frozen=True, slots=True)
class Made:
    """What `create` did: the moment the stories count from, events added, logins (e-mail, password, role)."""

    window_end: datetime
    added: int
    logins: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Status:
    """The demo as it stands; `window_end` is None if there is none. `teams`: slug, events, first and last event."""

    window_end: datetime | None
    teams: list[tuple[str, int, datetime | None, datetime | None]]
    changes: int


class DemoRefused(Exception):
    """The ingest refused an event of the demo: the generator and the field rules have grown apart."""


class DemoGone(Exception):
    """The demo was removed while events were being made for it."""


def create(*, now: datetime, volume: float = 1.0, processes: int = 1) -> Made:
    """Makes the demo, or brings an existing one up to now. Safe to run twice, and after a run that was broken off.

    `volume` scales the number of conversations; `processes` share the teams. The first run fixes the moment the
    stories count from.
    """
    logins = create_demo_people()
    window_end = _window_end(now)
    partitions.ensure(now)
    jobs = [(team, now, window_end, volume) for team in create_demo_teams()]
    added = sum(_in_processes(jobs, processes) if processes > 1 else map(_bring_up, jobs))
    rollups.drain()
    # Its month is told as if every event had come in time.
    LateMinute.objects.filter(team_id__in=[team.pk for team, *_ in jobs]).delete()
    return Made(window_end, added, logins)


def _in_processes(jobs: list[tuple], processes: int) -> list[int]:
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=django.setup) as pool:
        return list(pool.map(_bring_up, jobs))


def _bring_up(job: tuple[Team, datetime, datetime, float]) -> int:
    """Fills one team, and rolls up while other processes still fill theirs; returns how many events were new."""
    team, now, window_end, volume = job
    since = missing_since(team, now)
    added = fill(team=team, since=since, until=now, window_end=window_end, volume=volume)
    rollups.drain()
    return added


def missing_since(team: Team, now: datetime) -> datetime:
    """From when on a demo team may lack events: the start of the window, or a little before its last event."""
    last = UsageEvent.objects.filter(team_id=team.pk).aggregate(last=Max("occurred_at"))["last"]
    return max(last - _OVERLAP, now - WINDOW) if last else now - WINDOW


def fill(*, team: Team, since: datetime, until: datetime, window_end: datetime, volume: float = 1.0) -> int:
    """Adds the events that are over in [since, until); returns how many were new."""
    made = events_between(since, until, window_end, team=team.slug, volume=volume)
    return sum(_store(team, batch) for batch in _batches(made))


def _store(team: Team, batch: list[dict]) -> int:
    with transaction.atomic():
        # Events have no foreign key: without the lock, a removal at this moment would leave them behind.
        if not Team.objects.select_for_update().filter(pk=team.pk, is_demo=True):
            raise DemoGone(f"The demo team {team.slug} is no longer there.")
        outcome = record_events(team=team, environment="", api_key_id=None, events=batch)
    if outcome.rejected_count:
        raise DemoRefused(f"{outcome.rejected_count} demo events were refused, the first: {outcome.rejected[0]}")
    return outcome.accepted


def _batches(events: Iterator[dict]) -> Iterator[list[dict]]:
    while batch := list(islice(events, BATCH)):
        yield batch


def window_end() -> datetime | None:
    """The moment the stories count from, read off the first change marker; None without a demo."""
    marker = ChangeMarker.objects.filter(team__is_demo=True, idempotency_key="demo-0").first()
    return marker.at - CHANGES[0].offset if marker else None


def _window_end(now: datetime) -> datetime:
    """The window's end of the demo that is there, else now, written down with the change markers."""
    if kept := window_end():
        return kept
    end = now.replace(microsecond=0)
    teams = {team.slug: team for team in create_demo_teams()}
    ChangeMarker.objects.bulk_create(
        ChangeMarker(**marker | {"team": teams[marker["team"]], "idempotency_key": f"demo-{number}"})
        for number, marker in enumerate(markers(end))
    )
    ProviderLimit.objects.bulk_create(
        ProviderLimit(
            team=teams[team], provider=provider, model=model, requests_per_minute=requests, tokens_per_minute=tokens,
            note="Demo",
        )
        for team, provider, model, requests, tokens in LIMITS
    )  # fmt: skip
    return end


def status() -> Status:
    """What of the demo is stored."""
    teams = list(Team.objects.filter(is_demo=True).order_by("slug"))
    counts: dict[int, dict[str, Any]] = {
        row["team_id"]: dict(row)
        for row in UsageEvent.objects.filter(team_id__in=[team.pk for team in teams])
        .values("team_id")
        .annotate(events=Count("event_id"), first=Min("occurred_at"), last=Max("occurred_at"))
    }
    empty = {"events": 0, "first": None, "last": None}
    rows = [(team, counts.get(team.pk, empty)) for team in teams]
    return Status(
        window_end(),
        [(team.slug, row["events"], row["first"], row["last"]) for team, row in rows],
        ChangeMarker.objects.filter(team__is_demo=True).count(),
    )


def remove(*, label: str) -> int:
    """Removes the demo teams and everything of theirs, and the demo people; returns how many events went.

    One transaction; `label` names who asked, for the audit log.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        teams = [team.pk for team in Team.objects.select_for_update().filter(is_demo=True).order_by("pk")]
        for team in teams:
            # The lock of the roll-ups: a recompute in flight must not write rows of a team that is gone.
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [TEAM_LOCK, team % 2**31])
        gone = {table: _delete(cursor, table, teams) for table in _TABLES}["usage_event"]
        remove_demo_people()
        audit(actor=None, label=label, action="demo.removed", target="demo teams", after={"events": gone})
    return gone


def _delete(cursor, table: str, teams: list[int]) -> int:
    cursor.execute(f"DELETE FROM {table} WHERE team_id = ANY(%s)", [teams])
    return cursor.rowcount
