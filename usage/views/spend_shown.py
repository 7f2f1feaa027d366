"""How spend is shown: sentences, charts, waterfall and table rows of the spend page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, TypedDict

from aiops_site import formats
from aiops_site.charts import Chart, Marker, Series, sparkline
from aiops_site.charts.strips import Spark
from usage.changes import changes_between
from usage.links import explain_url
from usage.metrics import MetricResult
from usage.queries.spend import Group, SpendReport, add_up, change
from usage.rules.effects import Effects
from usage.rules.spend import Figures
from usage.scope import RANGES, UNTAGGED

if TYPE_CHECKING:
    from usage.views.spend import Explorer

STACKED = 8
DRIVERS = 8
WIDTH = {"minute": 1, "5min": 5, "hour": 60, "day": 1_440, "week": 10_080}
# Filters that the events page understands too.
EVENT_FILTERS = {"environment", "feature", "model", "provider", "tenant", "status", "error_type", "operation"}
EFFECT_NAMES = {"volume": "volume", "tokens": "tokens per call", "price": "price and mix"}


def name_of(explorer: Explorer, key: tuple[str, ...]) -> str:
    return " · ".join(explorer.labels(key))


def dates(start: datetime, end: datetime, explorer: Explorer) -> str:
    """1 Nov – 21 Nov 14:05, in the viewer's zone; the last day is named, not the one after it."""
    first, last = (moment.astimezone(explorer.scope.zone) for moment in (start, end))
    if not (last.hour or last.minute) and not (first.hour or first.minute):
        last -= timedelta(days=1)
        return f"{first:%-d %b} – {last:%-d %b}" if first.date() != last.date() else f"{first:%-d %b}"
    return f"{_moment(first)} – {_moment(last)}"


def _moment(local: datetime) -> str:
    return f"{local:%-d %b %H:%M}" if local.hour or local.minute else f"{local:%-d %b}"


def compared_with(explorer: Explorer) -> str:
    """The dates of the period compared with; '' without a comparison."""
    return dates(explorer.before.start, explorer.before.end, explorer) if explorer.before else ""


def against(explorer: Explorer) -> str:
    """What a delta is against, in few words."""
    if explorer.scope.compare == "week" and explorer.before:
        return "vs weeks earlier" if (explorer.window.start - explorer.before.start).days > 7 else "vs a week earlier"
    return "vs month before" if explorer.month else "vs period before"


@dataclass(frozen=True)
class Incomplete:
    """Why the period compared with is not whole, and where to find a comparison that is ('' if there is none yet)."""

    text: str
    url: str = ""
    label: str = ""


def incomplete(explorer: Explorer) -> Incomplete | None:
    """None where the figures go back far enough, or nothing is compared."""
    since, before = explorer.known_since, explorer.before
    if not before or not since or since <= before.start:
        return None
    part = "lies before that" if since >= before.end else "is known in part only"
    first = f"{since.astimezone(explorer.scope.zone):%-d %b %Y}"
    text = f"The first call came on {first}: the period before, {compared_with(explorer)}, {part}."
    fitting = next((name for name in reversed(RANGES) if 2 * RANGES[name][1] <= explorer.now - since), None)
    if not fitting:
        return Incomplete(text)
    url = explorer.scope.url("/spend/", range=fitting, compare="previous")
    return Incomplete(text, url, f"Compare the {RANGES[fitting][0].lower()} with those before")


def sentence(explorer: Explorer, report: SpendReport) -> str:
    """The answer first: how much, and what drove the change."""
    total, window = report.total, report.window
    when = "this month so far" if explorer.month else f"in {dates(window.start, window.end, explorer)}"
    if total.now.cost is None:
        return f"Spend is unknown, {when}: none of {formats.counted(total.now.unknown, 'calls')} has a price."
    text = f"{formats.money(total.now.cost)} {when}"
    moved = change(total)
    if moved is None:
        return f"{text}."
    period = compared_with(explorer)
    if not total.before:
        return f"{text}. There were no calls to compare with, {period}."
    return f"{text}, {_more(moved)} than {period}. {_driver(explorer, report)}"


def _more(amount: Decimal) -> str:
    return f"{formats.money(abs(amount))} {'more' if amount >= 0 else 'less'}"


def _driver(explorer: Explorer, report: SpendReport) -> str:
    """The largest single effect of any group."""
    if not (moved := movers(report)):
        return ""
    group, effects = moved[0]
    return (
        f"Largest single effect: {explorer.group_by[0].replace('_', ' ')} {name_of(explorer, group.key)},"
        f" {EFFECT_NAMES[effects.largest]} ({signed(getattr(effects, effects.largest))})."
    )


def movers(report: SpendReport) -> list[tuple[Group, Effects]]:
    """The groups whose spend moved for whatever cause, by their largest effect: two that cancel out matter too."""
    moved = [(group, group.effects) for group in report.groups if group.effects and group.effects.largest]
    return sorted(moved, key=lambda pair: (-abs(getattr(pair[1], pair[1].largest)), pair[0].key))


def signed(amount: Decimal) -> str:
    return f"{'+' if amount > 0 else ''}{formats.money(amount)}"


# --- Charts ---------------------------------------------------------------------------------------------------------
def stacked(
    explorer: Explorer, report: SpendReport, groups: list[Group], over_time: MetricResult, by_group: MetricResult
) -> Chart:
    """Spend by step, the largest groups and all others, which is what is left of the whole."""
    drawn = [group for group in groups if group.key in set(by_group.keys)]
    points = {group.key: by_group.points("cost_usd", group.key) for group in drawn}
    left = [
        (at, _less(whole, [points[group.key][place][1] for group in drawn]))
        for place, (at, whole) in enumerate(over_time.points("cost_usd"))
    ]
    series = [
        # The colour follows the value, which stays when a team is renamed.
        Series(name_of(explorer, group.key), points[group.key], kind="bar", key=" · ".join(group.key) or UNTAGGED)
        for group in drawn
    ]
    if any(value for _, value in left):
        series.append(Series("other", left, kind="bar"))
    return Chart(
        id="spend",
        title=_largest(explorer, report),
        unit="USD",
        series=series,
        stacked=True,
        height="large",
        markers=_markers(explorer),
        csv_url=explorer.scope.url("/spend/csv/"),
        drill_url=events_url(explorer, (), ()),
        unknown=_unknown(over_time),
        **_bars_axis(explorer, over_time),
    )


def _less(whole: Decimal | None, parts: list[Decimal | None]) -> Decimal | None:
    return None if whole is None else Decimal(whole) - sum((part for part in parts if part is not None), Decimal(0))


class Axis(TypedDict):
    """What a chart needs to know of its time axis."""

    tz: tzinfo
    step: timedelta
    start: datetime
    end: datetime


def _axis(explorer: Explorer, over_time: MetricResult) -> Axis:
    step = timedelta(minutes=WIDTH[explorer.step])
    return {"tz": explorer.scope.zone, "step": step, "start": over_time.start, "end": over_time.end}


def _bars_axis(explorer: Explorer, over_time: MetricResult) -> Axis:
    """An axis with room for the halves of the first and last bar: a bar stands on the start of its step."""
    axis = _axis(explorer, over_time)
    half = axis["step"] / 2
    return {**axis, "start": axis["start"] - half, "end": over_time.buckets[-1] + half}


def _unknown(over_time: MetricResult) -> list[tuple[datetime, datetime]]:
    """Steps in which there were calls, and none of known cost."""
    ends = [*over_time.buckets[1:], over_time.end]
    return [
        (at, end) for at, end in zip(over_time.buckets, ends, strict=True) if over_time.value("cost_usd", at=at) is None
    ]


def _markers(explorer: Explorer) -> list[Marker]:
    found = changes_between(
        explorer.scope.team_ids, explorer.window.start, explorer.window.end, explorer.scope.filters
    ).order_by("at")
    return [Marker(change.at, change.title, explorer.scope.url("/changes/")) for change in found[:40]]


def _largest(explorer: Explorer, report: SpendReport) -> str:
    whole, ranked = report.total.now.known, report.ranked()
    if not whole:
        return "Spend over time"
    first = ranked[0]
    share = formats.percent(first.now.known / whole)
    return f"{explorer.group_by[0].replace('_', ' ').capitalize()} {name_of(explorer, first.key)} is {share} of spend"


def unit_costs(explorer: Explorer, report: SpendReport, over_time: MetricResult) -> list[Chart]:
    """Cost per request and per thousand tokens over time."""
    now, before = report.total.now, report.total.before or Figures()
    pairs = (
        ("cost_per_request", "Cost per request", now.per_request, before.per_request),
        ("cost_per_1k_tokens", "Cost per 1k tokens", now.per_1k_tokens, before.per_1k_tokens),
    )
    return [
        Chart(
            id=metric,
            title=_unit_title(label, value, then),
            unit="USD",
            series=[Series(label, over_time.points(metric))],
            height="small",
            unknown=_unknown(over_time),
            **_axis(explorer, over_time),
        )
        for metric, label, value, then in pairs
    ]


def _unit_title(label: str, value: Decimal | None, then: Decimal | None) -> str:
    ratio = formats.change(value, then)
    if ratio is None:
        return f"{label}: {formats.money(value)}"
    word = "up" if ratio > 0 else "down"
    moved = "as before" if abs(ratio) < Decimal("0.005") else f"{word} {formats.percent(abs(ratio))}"
    return f"{label} {moved}: {formats.money(value)}"


def trend(over_time: MetricResult) -> Spark:
    return sparkline([value for _, value in over_time.points("cost_usd")], "Spend over time")


# --- What changed ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Step:
    """One bar of the waterfall; x and width in per cent of the widest sum."""

    name: str
    amount: Decimal
    x: float
    width: float
    tone: str
    whole: bool = False
    says: str = ""


def waterfall(report: SpendReport) -> list[Step]:
    """From the spend before to the spend now, by cause."""
    before, now, effects = (report.total.before or Figures()).known, report.total.now.known, report.total.effects
    says = {
        "volume": "more or fewer calls, new and ended uses",
        "tokens": "longer or shorter prompts and answers",
        "price": "rates, other models, cached input, share of output",
    }
    levels = [Decimal(0), before]
    for name in says:
        levels.append(levels[-1] + getattr(effects, name))
    low, high = min(levels), max(*levels, now)
    steps = [_bar("Before", Decimal(0), before, low, high, whole=True)]
    for place, name in enumerate(says):
        label = EFFECT_NAMES[name].capitalize()
        steps.append(_bar(label, levels[place + 1], levels[place + 2], low, high, says=says[name]))
    return [*steps, _bar("Now", Decimal(0), now, low, high, whole=True)]


def _bar(name: str, start: Decimal, end: Decimal, low: Decimal, high: Decimal, **more) -> Step:
    span = float(high - low) or 1.0
    x, width = float(min(start, end) - low) / span * 100, float(abs(end - start)) / span * 100
    tone = "muted" if more.get("whole") else "bad" if end > start else "ok"
    return Step(name, end - start, round(x, 2), round(width, 2), tone, **more)


@dataclass(frozen=True)
class Driver:
    """A group whose spend moved, and why."""

    name: str
    url: str
    effects: Effects
    mostly: str
    unknown: int


def drivers(explorer: Explorer, report: SpendReport) -> list[Driver]:
    """The groups with the largest effects."""
    return [
        Driver(
            name_of(explorer, group.key),
            explorer.drill(0, group.key[0]),
            effects,
            EFFECT_NAMES[effects.largest],
            group.now.unknown + (group.before or Figures()).unknown,
        )
        for group, effects in movers(report)[:DRIVERS]
    ]


def explained_at(explorer: Explorer) -> str:
    """The page that takes this change apart by every dimension; '' without a comparison."""
    if not explorer.before:
        return ""
    team = explorer.scope.team.slug if explorer.scope.team else ""
    return explain_url("spend", explorer.window, explorer.before, team=team, filters=explorer.scope.filters)


# --- Table ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class TableRow:
    """A group as listed: `cells` are (value, URL that fixes it)."""

    cells: list[tuple[str, str]]
    group: Group
    share: Decimal | None
    change: Decimal | None
    spark: Spark | None
    events_url: str


def row(explorer: Explorer, report: SpendReport, group: Group, by_group: MetricResult) -> TableRow:
    urls = [explorer.drill(place, value) for place, value in enumerate(group.key)]
    cells = list(zip(explorer.labels(group.key), urls, strict=True))
    seen = group.key in set(by_group.keys)
    spark = sparkline([value for _, value in by_group.points("cost_usd", group.key)]) if seen else None
    url = events_url(explorer, explorer.group_by, group.key)
    return TableRow(cells, group, _share(group, report), change(group), spark, url)


def _share(group: Group, report: SpendReport) -> Decimal | None:
    whole = report.total.now.known
    return group.now.known / whole if whole and group.now.cost is not None else None


@dataclass(frozen=True)
class Rest:
    """All groups that are not listed, added up."""

    count: int
    group: Group
    share: Decimal | None


def rest(groups: list[Group], report: SpendReport) -> Rest | None:
    if not groups:
        return None
    added = add_up(groups)
    return Rest(len(groups), added, _share(added, report))


def untagged(explorer: Explorer, report: SpendReport) -> list[tuple[str, Decimal]]:
    """(dimension, USD) of spend that does not say its value of a dimension it is broken down by."""
    found = [
        (name.replace("_", " "), sum((g.now.known for g in report.groups if not g.key[place]), Decimal(0)))
        for place, name in enumerate(explorer.group_by)
    ]
    return [(name, amount) for name, amount in found if amount]


def events_url(explorer: Explorer, names: tuple[str, ...], key: tuple[str, ...]) -> str:
    """The events behind a figure; '' where the events page cannot filter by all of it."""
    scope = explorer.scope
    if {*names, *scope.filters} - EVENT_FILTERS - {"team"}:
        return ""
    values = {name: value or UNTAGGED for name, value in zip(names, key, strict=True)}
    window = {"from": explorer.window.start, "to": explorer.window.end}
    own = {"by": None, "then": None, "sort": None, "rows": None, "compare": None}
    return scope.url("/events/", **window, **own, **values)
