"""Proof that raw = minute = hour = day, for every series and tenant, in every measure, to the last unit of cost.

Sketches of distinct ids are compared as the bytes their compaction gives: equal exactly when each tier kept the same
hashes, in whatever order and however often they were merged.

Each day is compared in one snapshot. A difference where a mark still waits is "catching up": the roll-up has not come
to it yet. Any other difference is wrong, and is what this is for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from itertools import pairwise
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from usage import partitions, sketch
from usage.measures import MEASURES, PACKED, SKETCH_NAMES
from usage.models import ReconciledDay, Reconciliation

# Groups shown of those that differ; the number of all of them is always given.
EXAMPLES = 20
# Digits that tell two sketches apart.
DIGEST = 12
TIERS = ("event", "minute", "hour", "day")


@dataclass
class TeamDay:
    """What each kept tier of a team's day sums to, and where neighbouring tiers differ."""

    team_id: int
    day: date
    tiers: dict[str, dict[str, Any]] = field(default_factory=dict)
    differences: list[dict] = field(default_factory=list)
    differing: int = 0
    pending: bool = False

    @property
    def verdict(self) -> str:
        if not self.differing:
            return ReconciledDay.Verdict.EQUAL
        return ReconciledDay.Verdict.CATCHING_UP if self.pending else ReconciledDay.Verdict.DIFFERENT


def kept_tiers(day: date, now: datetime) -> list[str]:
    """The tiers that still hold all of that day, finest first."""
    oldest = {
        "event": (partitions.raw_horizon(now) - timedelta(days=1)).date(),
        "minute": partitions.minute_horizon(now).date(),
        "hour": (now - timedelta(days=settings.HOUR_RETENTION_DAYS - 1)).date(),
    }
    return [tier for tier in TIERS if tier == "day" or day >= oldest[tier]]


def reconcile_day(day: date, now: datetime) -> list[TeamDay]:
    """Compare every team's day, in one snapshot. Teams without events that day are not listed."""
    tiers = kept_tiers(day, now)
    found: dict[int, TeamDay] = {}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        bounds = {"start": start, "end": start + timedelta(days=1)}
        for tier in tiers:
            _read_totals(cursor, tier, bounds, day, found)
        for family in ("", "tenant_"):
            for finer, coarser in pairwise(tiers):
                _read_differences(cursor, finer, coarser, family, bounds, day, found)
            for name in SKETCH_NAMES:
                sketches = {tier: _read_sketches(cursor, name, tier, family, bounds) for tier in tiers}
                for finer, coarser in pairwise(tiers):
                    _compare_sketches(name, (finer, coarser), (sketches[finer], sketches[coarser]), day, found)
        cursor.execute(
            "SELECT DISTINCT team_id FROM usage_rollup_mark WHERE bucket >= %(start)s AND bucket < %(end)s", bounds
        )
        pending = {team for (team,) in cursor.fetchall()}
    for team_day in found.values():
        team_day.pending = team_day.team_id in pending
    return sorted(found.values(), key=lambda team_day: team_day.team_id)


def _read_totals(cursor, tier: str, bounds: dict, day: date, found: dict[int, TeamDay]) -> None:
    events, time = ("count(*)", "occurred_at") if tier == "event" else ("sum(events)", "bucket")
    cursor.execute(
        f"SELECT team_id, {events}, coalesce(sum(cost_usd), 0),"
        " coalesce(sum(input_tokens), 0) + coalesce(sum(output_tokens), 0)"
        f" FROM usage_{tier} WHERE {time} >= %(start)s AND {time} < %(end)s GROUP BY 1",
        bounds,
    )
    for team, count, cost, tokens in cursor.fetchall():
        figures = {"events": int(count), "cost_usd": _plain(cost), "total_tokens": int(tokens)}
        found.setdefault(team, TeamDay(team, day)).tiers[tier] = figures


def _read_differences(
    cursor, finer: str, coarser: str, family: str, bounds: dict, day: date, found: dict[int, TeamDay]
) -> None:
    """Groups (series, and tenant) whose measures differ between two tiers."""
    keys = "team_id, series_id, tenant" if family else "team_id, series_id"
    names = [measure.name for measure in MEASURES]
    left, right = (", ".join(f"{side}.{name}" for name in names) for side in "lr")
    cursor.execute(
        f"WITH l AS ({_grouped(finer, family, _sums(finer))}), r AS ({_grouped(coarser, family, _sums(coarser))})"
        f" SELECT {keys}, {left}, {right} FROM l FULL JOIN r USING ({keys})"
        f" WHERE ROW({left}) IS DISTINCT FROM ROW({right})",
        bounds,
    )
    width = 3 if family else 2
    for record in cursor:
        values = record[width : width + len(names)], record[width + len(names) :]
        figures = {
            name: [_plain(a, name), _plain(b, name)] for name, a, b in zip(names, *values, strict=True) if a != b
        }
        _differ(found.setdefault(record[0], TeamDay(record[0], day)), (finer, coarser), record[1:width], figures)


def _differ(team_day: TeamDay, tiers: tuple[str, str], group: tuple, figures: dict[str, list]) -> None:
    """Note a group, (series_id,) or (series_id, tenant), that differs between two tiers."""
    team_day.differing += 1
    if len(team_day.differences) < EXAMPLES:
        tenant = group[1] if len(group) == 2 else None
        team_day.differences.append({"tiers": list(tiers), "series_id": group[0], "tenant": tenant, "figures": figures})


def _read_sketches(cursor, name: str, tier: str, family: str, bounds: dict) -> dict[tuple, tuple[str, int]]:
    """(team, series_id, perhaps tenant) → digest of its compact sketch, and what it counts."""
    packed = next(packed for packed in PACKED if packed.name == name)
    merged = packed.array_sql if tier == "event" else f"string_agg(e.{name}, '')"
    cursor.execute(_grouped(tier, family, merged), bounds)
    found = {}
    for *group, value in cursor:
        if value:
            whole = sketch.pack_values(value) if tier == "event" else sketch.compact(bytes(value))
            found[tuple(group)] = sha256(whole).hexdigest()[:DIGEST], sketch.count(whole)
    return found


def _compare_sketches(
    name: str, tiers: tuple[str, str], sides: tuple[dict, dict], day: date, found: dict[int, TeamDay]
) -> None:
    """Groups whose sketches differ; a figure says how many ids, and which by a digest."""
    for group in sides[0].keys() | sides[1].keys():
        both = [side.get(group) for side in sides]
        if both[0] != both[1]:
            figures = {name: [one and f"{one[1]} ids ({one[0]})" for one in both]}
            _differ(found.setdefault(group[0], TeamDay(group[0], day)), tiers, group[1:], figures)


def _sums(tier: str) -> str:
    return ", ".join(f"{m.event_sql if tier == 'event' else f'sum(e.{m.name})'} AS {m.name}" for m in MEASURES)


def _grouped(tier: str, family: str, select: str) -> str:
    """SELECT team_id, series_id (and tenant) and `select` of a tier, by group."""
    raw = tier == "event"
    time = "occurred_at" if raw else "bucket"
    series = "s.narrow_id" if raw and family else "e.series_id"
    tenant = ", e.tenant" if family else ""
    join = " JOIN usage_series s ON s.team_id = e.team_id AND s.id = e.series_id" if raw and family else ""
    named = " AND e.tenant IS NOT NULL" if raw and family else ""
    table = "usage_event" if raw else f"usage_{family}{tier}"
    return (
        f"SELECT e.team_id, {series} AS series_id{tenant}, {select} FROM {table} e{join}"
        f" WHERE e.{time} >= %(start)s AND e.{time} < %(end)s{named} GROUP BY 1, 2{', 3' if family else ''}"
    )


def _plain(value, name: str = "cost_usd") -> str | int | None:
    """JSON-safe and exact: money as text, everything else a whole number."""
    if value is None:
        return None
    return format(Decimal(value).normalize(), "f") if name.endswith("_usd") else int(value)


def days_between(start: date, end: date) -> Iterator[date]:
    """Days of [start, end), latest first."""
    for offset in range((end - start).days, 0, -1):
        yield start + timedelta(days=offset - 1)


def request_run(*, start: date, end: date, actor=None) -> Reconciliation:
    """Ask for a run; a task carries it out."""
    return Reconciliation.objects.create(start=start, end=end, days_total=(end - start).days, requested_by=actor)


def run(run_id: int) -> Reconciliation | None:
    """Carry out a waiting run, day by day; None when another worker has it."""
    if not Reconciliation.objects.filter(pk=run_id, state="waiting").update(state="running"):
        return None
    reconciliation = Reconciliation.objects.get(pk=run_id)
    try:
        for day in days_between(reconciliation.start, reconciliation.end):
            _store(reconciliation, reconcile_day(day, timezone.now()))
        _finish(reconciliation, Reconciliation.State.DONE)
    except Exception as error:
        _finish(reconciliation, Reconciliation.State.FAILED, f"{type(error).__name__}: {error}")
        raise
    return reconciliation


def _store(reconciliation: Reconciliation, team_days: list[TeamDay]) -> None:
    ReconciledDay.objects.bulk_create(
        ReconciledDay(
            run=reconciliation,
            team_id=team_day.team_id,
            day=team_day.day,
            verdict=team_day.verdict,
            tiers=team_day.tiers,
            differences=team_day.differences,
            differing=team_day.differing,
        )
        for team_day in team_days
    )
    reconciliation.days_done += 1
    reconciliation.save(update_fields=["days_done"])


def _finish(reconciliation: Reconciliation, state: str, error: str = "") -> None:
    reconciliation.state, reconciliation.error, reconciliation.finished_at = state, error, timezone.now()
    reconciliation.save(update_fields=["state", "error", "finished_at"])
