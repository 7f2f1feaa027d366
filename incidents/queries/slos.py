"""SLOs as the metric query answers them: what was good and bad, how much budget is left and how fast it burns.

SLOs that look at the same kind of slice are answered together, so two hundred teams with an SLO each cost a handful
of queries.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet

from accounts.access import can, visible_teams
from accounts.models import User
from incidents.models import Slo
from incidents.rules.slos import HOUR, NOTHING, Burn, Tally, added, standing, within
from usage.metrics import MetricQuery, histograms_by_step, query
from usage.metrics.asked import MAX_POINTS, UTC_ZONE
from usage.metrics.judged import Limit, can_judge, hours_within
from usage.metrics.window import floor
from usage.models.scopes import SCOPE_FIELDS

# Answered or failed: blocked and cancelled requests are neither good nor bad.
VALID = {"status": ("success", "fallback", "error")}
ANSWERED = {"status": ("success", "fallback")}
CHECKS = {
    "refusal": ("refusals", "refusal_checks"),
    "policy": ("policy_hits", "policy_checks"),
    "schema": ("valid_answers", "schema_checks"),
}
CHECK_NAMES = tuple(name for pair in CHECKS.values() for name in pair)
OUTCOMES = ("successes", "errors")
COUNTS = "counts"  # what is read of requests answered and of checks passed alike
SPEND = {"hour": "cost_per_hour", "conversation": "cost_per_conversation", "request": "cost_per_request"}
# Windows up to so long are cut into hours from their end; longer ones have the hours of the clock.
FEW_HOURS = timedelta(hours=6)
Place = tuple[tuple[str, ...], datetime | None]


@dataclass(frozen=True)
class Attainment:
    """One SLO over its window, and its last hour. `tone` and `word` say how it stands."""

    slo: Slo
    tally: Tally
    now: Burn
    tone: str
    word: str

    @property
    def attained(self):
        return self.tally.attained

    @property
    def left(self):
        """Share of the error budget left, negative when overspent, None when unknown."""
        return self.tally.left(self.slo.target)


@dataclass(frozen=True)
class _Shape:
    """What SLOs must have in common to be answered by one query."""

    indicator: str  # or COUNTS
    per: str
    calls: bool
    by_team: bool
    fields: tuple[str, ...]
    excluded: tuple[tuple[str, tuple[str, ...]], ...]


def visible_slos(user: User) -> QuerySet[Slo]:
    """Of the user's teams, and the organisation's for organisation-wide roles."""
    mine = Q(team__in=visible_teams(user)) | (Q(team=None) if can(user, "team.view") else Q())
    return Slo.objects.filter(mine).select_related("team", "owner")


def attainment(slos: Iterable[Slo], at: datetime) -> list[Attainment]:
    """Every SLO over its own window up to `at`, in the order given."""
    slos = list(slos)
    hour = tallies(slos, at - HOUR, at)
    whole: dict[int, Tally] = {}
    for days in {slo.window_days for slo in slos}:
        alike = [slo for slo in slos if slo.window_days == days]
        whole |= tallies(alike, at - timedelta(days=days), at)
    return [_attainment(slo, whole[slo.pk], hour[slo.pk].burn(slo.target)) for slo in slos]


def _attainment(slo: Slo, tally: Tally, now: Burn) -> Attainment:
    return Attainment(slo, tally, now, *standing(tally, slo.target, now))


def burn(slo: Slo, windows: Iterable[int], at: datetime) -> dict[int, Burn]:
    """Window in seconds → (bad share, burn rate, events) of the time up to `at`."""
    return burns([slo], windows, at)[slo.pk]


def burns(slos: Iterable[Slo], windows: Iterable[int], at: datetime) -> dict[int, dict[int, Burn]]:
    """SLO's id → `burn`, of many at once: one query for each window and kind of slice, however many SLOs."""
    slos = list(slos)
    found: dict[int, dict[int, Burn]] = {slo.pk: {} for slo in slos}
    for seconds in dict.fromkeys(windows):
        counted = tallies(slos, at - timedelta(seconds=seconds), at)
        for slo in slos:
            found[slo.pk][seconds] = counted[slo.pk].burn(slo.target)
    return found


def tallies(slos: Iterable[Slo], start: datetime, end: datetime) -> dict[int, Tally]:
    """SLO's id → what was good and bad from `start` to `end`; NOTHING where there was nothing."""
    slos = list(slos)
    found = {slo.pk: NOTHING for slo in slos}
    for shape, alike in _by_shape(slos).items():
        for pk, by_time in _read(shape, alike, start, end).items():
            found[pk] = added(by_time.values())
    return found


def tallies_by(slo: Slo, start: datetime, end: datetime, step: str, zone: ZoneInfo = UTC_ZONE) -> dict[datetime, Tally]:
    """Start of the step → what was good and bad in it; steps without anything are not there.

    Of a spend, which is counted in hours, the step is an hour or longer.
    """
    ((shape, alike),) = _by_shape([slo]).items()
    if slo.indicator != Slo.Indicator.SPEND:
        return dict(sorted(_counted(shape, alike, start, end, step, zone).get(slo.pk, {}).items()))
    steps: dict[datetime, Tally] = defaultdict(Tally)
    for hour, tally in _clock_hours(shape, alike, start, end).get(slo.pk, {}).items():
        steps[floor(hour, step, zone)] += tally
    return dict(sorted(steps.items()))


def by_value(slo: Slo, dimension: str, start: datetime, end: datetime) -> dict[str, Tally]:
    """Value of the dimension → its tally; of indicators whose units are events. Raises QueryError where the two do
    not go together."""
    reader, tally = _READERS[_shape(slo).indicator]
    found = reader(_shape(slo), [slo], start, end, {"by": (dimension,)})
    return {key[-1]: tally(slo, facts) for (key, _), facts in found.items()}


# --- What can be asked together -----------------------------------------------------------------------------------
def _by_shape(slos: Iterable[Slo]) -> dict[_Shape, list[Slo]]:
    found: dict[_Shape, list[Slo]] = defaultdict(list)
    for slo in slos:
        found[_shape(slo)].append(slo)
    return found


def _shape(slo: Slo) -> _Shape:
    fields = tuple(name for name in SCOPE_FIELDS if getattr(slo, name))
    excluded = tuple(sorted((name, tuple(sorted(values))) for name, values in slo.exclusions.items() if values))
    counts = slo.indicator == Slo.Indicator.QUALITY or (slo.indicator == Slo.Indicator.SUCCESS and not slo.counts_calls)
    return _Shape(
        COUNTS if counts else slo.indicator, slo.per, slo.counts_calls, slo.team_id is not None, fields, excluded
    )


def _query(
    shape: _Shape, slos: Sequence[Slo], metrics: tuple[str, ...], start: datetime, end: datetime, **options
) -> MetricQuery:
    chosen = {name: tuple(sorted({getattr(slo, name) for slo in slos})) for name in shape.fields}
    return MetricQuery(
        metrics=metrics,
        start=start,
        end=end,
        group_by=(*(["team"] if shape.by_team else []), *shape.fields, *options.pop("by", ())),
        filters=chosen | options.pop("filters", {}),
        excluded=dict(shape.excluded),
        team_ids=tuple(sorted({slo.team_id for slo in slos if slo.team_id})) if shape.by_team else None,
        **options,
    )


def _key(shape: _Shape, slo: Slo) -> tuple[str, ...]:
    values = (getattr(slo, name) for name in shape.fields)
    return (slo.team.slug, *values) if shape.by_team and slo.team else tuple(values)


# --- Reading ------------------------------------------------------------------------------------------------------
def _read(shape: _Shape, slos: list[Slo], start: datetime, end: datetime) -> dict[int, dict]:
    if shape.indicator != Slo.Indicator.SPEND:
        return _counted(shape, slos, start, end, None, UTC_ZONE)
    if end - start <= FEW_HOURS:
        return _trailing_hours(shape, slos, start, end)
    if can_judge(_spend_metrics(shape)[0]):
        return _judged_hours(shape, slos, start, end)
    return _clock_hours(shape, slos, start, end)


def _counted(
    shape: _Shape, slos: list[Slo], start: datetime, end: datetime, step: str | None, zone: ZoneInfo
) -> dict[int, dict]:
    """SLO's id → bucket → tally, of indicators whose units are events."""
    reader, tally = _READERS[shape.indicator]
    by_key: dict[tuple[str, ...], dict] = defaultdict(dict)
    for (key, bucket), facts in reader(shape, slos, start, end, {"step": step, "zone": zone}).items():
        by_key[key][bucket] = facts
    return {
        slo.pk: {bucket: tally(slo, facts) for bucket, facts in by_key.get(_key(shape, slo), {}).items()}
        for slo in slos
    }


def _sums(shape, slos, start, end, options, metrics: tuple[str, ...], filters=None) -> dict[Place, dict[str, Any]]:
    q = _query(shape, slos, metrics, start, end, filters=filters or {}, **options)
    return {(row.key, row.at): row.values for row in query(q).rows}


def _calls(shape, slos, start, end, options) -> dict[Place, dict[str, Any]]:
    return _sums(shape, slos, start, end, options, ("calls", "call_errors"), VALID)


def _called(slo: Slo, values: dict[str, Any]) -> Tally:
    return Tally(values["calls"] - values["call_errors"], values["call_errors"], values["calls"])


def _counts(shape, slos, start, end, options) -> dict[Place, dict[str, Any]]:
    """Outcomes of requests and checks of quality are sums over the same events, so they are read together."""
    names = {name for slo in slos for name in (CHECK_NAMES if slo.indicator == "quality" else OUTCOMES)}
    return _sums(shape, slos, start, end, options, tuple(sorted(names)))


def _count(slo: Slo, values: dict[str, Any]) -> Tally:
    if slo.indicator == Slo.Indicator.QUALITY:
        return _quality(slo, values)
    good, bad = (values[name] for name in OUTCOMES)
    return Tally(good, bad, good + bad)


def _latencies(shape, slos, start, end, options) -> dict[Place, Any]:
    metric = "call_latency_p95" if shape.calls else "latency_p95"
    return histograms_by_step(_query(shape, slos, (metric,), start, end, filters=ANSWERED, **options))


def _latency(slo: Slo, counts: Any) -> Tally:
    faster, slower = within(counts, slo.limit or Decimal(0))
    return Tally(faster, slower, faster + slower)


def _quality(slo: Slo, values: dict[str, Any]) -> Tally:
    """Checks that were passed: not refused, no policy hit, met the schema."""
    bad = total = 0
    for check in slo.checks or CHECKS:
        found, of = (values[name] for name in CHECKS[check])
        total += of
        bad += of - found if check == "schema" else found
    return Tally(total - bad, bad, total)


_READERS: dict[str, tuple[Callable, Callable[[Slo, Any], Tally]]] = {
    "success": (_calls, _called),
    "latency": (_latencies, _latency),
    COUNTS: (_counts, _count),
}


# --- Spend, whose units are hours -----------------------------------------------------------------------------------
def _clock_hours(shape: _Shape, slos: list[Slo], start: datetime, end: datetime) -> dict[int, dict]:
    """Hours of the clock, each with its tally."""
    found: dict[int, dict] = {slo.pk: {} for slo in slos}
    for begin, stop in _stretches(start, end):
        for pk, hours in _spent(shape, slos, begin, stop, "hour").items():
            found[pk] |= hours
    return found


def _judged_hours(shape: _Shape, slos: list[Slo], start: datetime, end: datetime) -> dict[int, dict]:
    """The same hours added up."""
    limits = [Limit(slo.pk, _key(shape, slo), slo.limit or Decimal(0)) for slo in slos]
    found: dict[int, dict] = {slo.pk: {} for slo in slos}
    for begin, stop in _stretches(start, end):
        asked = _query(shape, slos, _spend_metrics(shape), begin, stop, step="hour")
        for pk, hours in hours_within(asked, limits).items():
            found[pk][begin] = Tally(*hours)
    return found


def _stretches(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Whole hours of the clock, in stretches, as one query has only so many points."""
    start = floor(start, "hour", UTC_ZONE)
    while start < end:
        stop = min(end, start + (MAX_POINTS - 2) * HOUR)
        yield start, stop
        start = stop


def _trailing_hours(shape: _Shape, slos: list[Slo], start: datetime, end: datetime) -> dict[int, dict]:
    """Hours counted back from the end; a window shorter than an hour is one unit."""
    found: dict[int, dict] = {slo.pk: {} for slo in slos}
    while start < end:
        begin = max(start, end - HOUR)
        for pk, one in _spent(shape, slos, begin, end, None).items():
            found[pk][begin] = added(one.values())
        end = begin
    return found


def _spent(shape, slos, start, end, step) -> dict[int, dict]:
    """SLO's id → hour → tally. Hours without a request, or whose cost is unknown, are not judged."""
    metric, events = _spend_metrics(shape)
    by_key: dict[tuple[str, ...], dict] = defaultdict(dict)
    for row in query(_query(shape, slos, (metric, events), start, end, step=step)).rows:
        if row.values[metric] is not None and row.values[events]:
            by_key[row.key][row.at] = (row.values[metric], row.values[events])
    return {
        slo.pk: {
            hour: Tally(int(cost <= slo.limit), int(cost > slo.limit), events)
            for hour, (cost, events) in by_key.get(_key(shape, slo), {}).items()
        }
        for slo in slos
    }


def _spend_metrics(shape: _Shape) -> tuple[str, str]:
    """What is limited, and the events that tell an hour with traffic."""
    metric = "cost_per_call" if shape.calls and shape.per == "request" else SPEND[shape.per]
    return metric, "calls" if shape.calls else "requests"
