"""How an explained change is shown: tiles, waterfalls, rows with links, suspects; and its summary for other pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.urls import reverse

from aiops_site import formats
from usage.links import explain_url
from usage.queries.explain import Explanation
from usage.queries.explained import Explained
from usage.rules import finding as wording
from usage.rules.onset import Suspect
from usage.rules.slices import Part
from usage.rules.spend import Window
from usage.scope import UNTAGGED

if TYPE_CHECKING:
    from usage.views.explain import Asked

LISTED = 10
# Parameters of this page that the events page does not take.
NOT_OF_EVENTS = ("metric", "by", "base_from", "base_to", "compare")
# What the events page adds to find the events that a metric counts.
EVENTS_OF: dict[str, dict[str, str]] = {
    "errors": {"status": "error", "entries": "1"},
    "error_rate": {"status": "error", "entries": "1"},
    "requests": {"entries": "1"},
    "latency": {"entries": "1"},
    "call_errors": {"status": "error"},
    "call_error_rate": {"status": "error"},
    "fallbacks": {"status": "fallback"},
    "fallback_rate": {"status": "fallback"},
    "rate_limited": {"error_type": "rate_limit"},
    "empty_retrieval_rate": {"operation": "retrieval"},
    "low_similarity_rate": {"operation": "retrieval"},
}


@dataclass(frozen=True)
class Step:
    """One bar of a waterfall; x and width in per cent of the widest sum."""

    name: str
    text: str
    exact: str
    x: float
    width: float
    tone: str
    whole: bool = False
    url: str = ""


@dataclass(frozen=True)
class Row:
    """A part as listed. `effects` are texts in the order of the metric's causes, the largest one marked."""

    name: str
    url: str
    before: str
    now: str
    change: str
    exact: str
    share: float | None
    weight: float
    effects: list[tuple[str, bool]]
    events_url: str
    unknown: int
    tone: str
    bar: tuple[float, float] | None = None  # where it begins and how wide it is, in per cent


@dataclass(frozen=True)
class SuspectRow:
    """A change near the onset, with why it is suspect."""

    title: str
    kind: str
    at: datetime
    url: str
    lead: str
    matches: str
    strong: bool


def figures(asked: Asked, explanation: Explanation) -> dict[str, Any]:
    """The context of the page."""
    context = {
        "explanation": explanation,
        "state": explanation.state,
        "finding": wording.finding(explanation, asked.scope.zone),
        "metric": asked.metric,
        "unknown": explanation.unknown,
        "empty_urls": [asked.url(compare="previous", base_from=None, base_to=None), asked.url(range="7d", metric=None)],
    }
    if explanation.state in ("nothing", "no_before", "no_now"):
        return context
    return context | _tiles(asked, explanation) | _parts(asked, explanation) | _dimension(asked, explanation)


def dates(window: Window, zone: tzinfo) -> str:
    """12 Nov 06:46 – 14 Nov 06:46, the day once where it is the same."""
    first, last = (moment.astimezone(zone) for moment in (window.start, window.end))
    end = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%-d %b %H:%M}"
    return f"{first:%-d %b %H:%M} – {end}"


# --- Tiles ------------------------------------------------------------------------------------------------------------
def _tiles(asked: Asked, explanation: Explanation) -> dict[str, Any]:
    metric, whole = asked.metric, explanation.whole
    began = explanation.onset
    return {
        "now_text": formats.figure(whole.now, metric.unit),
        "before_text": formats.figure(whole.before, metric.unit),
        "change_text": wording.amount(explanation.change or Decimal(0), metric.unit)
        if metric.unit != "%"
        else points(explanation.change),
        "now_url": events_url(asked, whole),
        "before_url": events_url(asked, whole, asked.before),
        "core_share": None if explanation.core is None else share_said(explanation.core.share or 0.0),
        "values": sum(1 for part in explanation.parts if (part.share or 0) > 0),
        "began": None if began is None else began.at,
    }


def points(change: Decimal | None) -> str:
    """A change of a share, in percentage points."""
    if change is None:
        return formats.UNKNOWN
    moved = round(change * 100, 2)
    sign = "+" if moved > 0 else formats.MINUS if moved < 0 else ""
    return f"{sign}{formats.plain(abs(moved))} pp"


def share_said(share: float) -> str:
    """A share of the change; what exceeds all of it is taken back elsewhere."""
    return "all of the change" if share > 0.985 else f"{formats.percent(round(share, 3))} of the change"


def said(metric: Explained, amount: Decimal) -> str:
    return points(amount) if metric.unit == "%" else wording.amount(amount, metric.unit)


# --- Parts ------------------------------------------------------------------------------------------------------------
def _parts(asked: Asked, explanation: Explanation) -> dict[str, Any]:
    named = [(wording.name_of(part).capitalize(), part) for part in explanation.parts]
    rest = explanation.rest
    return {
        "rows": with_bars([row(asked, part, name) for name, part in named]),
        "rest": row(asked, rest, "Everything else") if explanation.parts else None,
        "total": row(asked, _total(explanation), "Whole"),
        "remainder": said(asked.metric, explanation.remainder) if explanation.remainder else "",
        "by_part": waterfall(
            asked, explanation, [*((n, p.contribution) for n, p in named), ("Everything else", rest.contribution)]
        ),
        "by_cause": waterfall(asked, explanation, _causes(asked.metric, explanation)),
        "causes": list(asked.metric.effects.values()),
        "suspects": [suspect_row(suspect, explanation) for suspect in explanation.suspects],
        "since": explanation.onset.at if explanation.onset else asked.window.start,
        "new": [(wording.words(new.dimension), new.value, new.instead) for new in explanation.new],
        "changes_url": asked.scope.url(reverse("change-list"), **dict.fromkeys(NOT_OF_EVENTS)),
    }


def _total(explanation: Explanation) -> Part:
    return Part(**vars(explanation.whole) | {"effects": explanation.effects})


def _causes(metric: Explained, explanation: Explanation) -> list[tuple[str, Decimal]]:
    return [(metric.effects[name].capitalize(), amount) for name, amount in explanation.effects.items()]


def waterfall(asked: Asked, explanation: Explanation, steps: Sequence[tuple[str, Decimal]]) -> list[Step]:
    """From before to now in steps that sum to the change; what they leave is a step of its own. [] without steps."""
    before, now = (explanation.whole.before or Decimal(0)), (explanation.whole.now or Decimal(0))
    if not steps:
        return []
    left = now - before - sum((amount for _, amount in steps), Decimal(0))
    steps = [*steps, *([("Together only", left)] if left and asked.metric.kind == "percentile" else [])]
    levels = [Decimal(0), before]
    for _, amount in steps:
        levels.append(levels[-1] + amount)
    scale = (float(min(levels)), float(max(*levels, now)))
    bars = [_bar(asked, name, levels[n + 1], levels[n + 2], scale) for n, (name, _) in enumerate(steps)]
    ends = [
        _bar(asked, name, Decimal(0), level, scale, whole=True) for name, level in (("Before", before), ("Now", now))
    ]
    return [ends[0], *bars, ends[1]]


def _bar(
    asked: Asked, name: str, start: Decimal, end: Decimal, scale: tuple[float, float], whole: bool = False
) -> Step:
    low, span = scale[0], (scale[1] - scale[0]) or 1.0
    x, width = (float(min(start, end)) - low) / span * 100, abs(float(end) - float(start)) / span * 100
    unit, moved = asked.metric.unit, end - start
    text = formats.figure(end, unit) if whole else said(asked.metric, moved)
    tone = "muted" if whole else _tone(asked.metric, moved)
    return Step(name, text, formats.figure_exact(moved, unit), round(x, 2), round(width, 2), tone, whole)


def _tone(metric: Explained, moved: Decimal) -> str:
    """Colour only where more is plainly good or bad."""
    if not metric.better:
        return "accent"
    return "ok" if (moved > 0) == (metric.better == "up") else "bad"


def row(asked: Asked, part: Part, name: str) -> Row:
    metric = asked.metric
    moved = {cause: abs(amount) for cause, amount in part.effects.items() if amount}
    largest = max(moved, key=moved.__getitem__, default="")
    return Row(
        name=name,
        url=narrowed(asked, part),
        before=formats.figure(part.before, metric.unit) if part.before is not None else _missing(part.unknown[0]),
        now=formats.figure(part.now, metric.unit) if part.now is not None else _missing(part.unknown[1]),
        change=said(metric, part.contribution),
        exact=formats.exact(part.contribution),
        share=part.share,
        weight=part.weight,
        effects=[(said(metric, part.effects[cause]), cause == largest) for cause in metric.effects],
        events_url=events_url(asked, part),
        unknown=sum(part.unknown),
        tone=_tone(metric, part.contribution),
    )


def with_bars(rows: list[Row]) -> list[Row]:
    """The rows with bars to both sides of a common zero."""
    shares = [row.share for row in rows if row.share is not None]
    low, high = min([0.0, *shares]), max([0.0, *shares])
    span = (high - low) or 1.0
    return [replace(one, bar=_span(one.share, low, span)) if one.share is not None else one for one in rows]


def _span(share: float, low: float, span: float) -> tuple[float, float]:
    return round((min(share, 0.0) - low) / span * 100, 2), round(abs(share) / span * 100, 2)


def _missing(unknown: int) -> str:
    """A figure that is not there: calls of unknown value, or none that it could be of."""
    return formats.UNKNOWN if unknown else "–"


# --- Links ------------------------------------------------------------------------------------------------------------
def _values(part: Part) -> dict[str, str]:
    return {name: value or UNTAGGED for name, value in part.where}


def narrowed(asked: Asked, part: Part) -> str:
    """The same question about this part only; '' for a rest."""
    if not part.where or part.where == (("tenant", ""),):
        return ""
    return asked.url(**_values(part), by=None)


def events_url(asked: Asked, part: Part, window: Window | None = None) -> str:
    """The events behind a part's figure; in its window, the later one by default."""
    window = window or asked.window
    times = {"from": window.start, "to": window.end}
    own: dict[str, Any] = dict.fromkeys(NOT_OF_EVENTS)
    return asked.scope.url(
        reverse("event-list"), **(own | times | EVENTS_OF.get(asked.metric.name, {}) | _values(part))
    )


# --- Dimensions -------------------------------------------------------------------------------------------------------
def _dimension(asked: Asked, explanation: Explanation) -> dict[str, Any]:
    """The chosen dimension's values, and all dimensions as tabs, the best explanation first."""
    found = explanation.dimensions
    leading = [part.where[0][0] for part in explanation.parts[:1]]
    found = sorted(found, key=lambda pair: pair[1].name not in leading)
    chosen = next((pair for pair in found if pair[1].name == asked.by), found[0] if found else None)
    if chosen is None:
        return {"tabs": []}
    slices, dimension = chosen
    parts, rest = slices.values(dimension.name, dimension.values, LISTED)
    told = [part for part in parts if part.before is not None or part.now is not None or any(part.unknown)]
    others = row(asked, rest, f"{rest.count} other{'s' if rest.count > 1 else ''}") if rest.count else None
    return {
        "tabs": [
            (wording.words(one.name).capitalize(), f"{asked.url(by=one.name)}#by", one is dimension) for _, one in found
        ],
        "dimension": dimension,
        "dimension_says": _says(dimension),
        "value_rows": with_bars([row(asked, part, part.where[0][1] or UNTAGGED) for part in told]),
        "value_rest": others,
        "value_remainder": said(asked.metric, left) if (left := slices.remainder([*parts, rest])) else "",
    }


def _says(dimension) -> str:
    best = dimension.best
    if not best.clauses or best.score <= 0:
        return "No value of it moved more than its size leads to expect."
    names = [clause.where[0][1] or UNTAGGED for clause in best.clauses]
    shares = [formats.percent(share) for share in best.share]
    return f"{', '.join(names)}: {shares[0]} of the change, {shares[1]} of the base."


# --- Suspects ---------------------------------------------------------------------------------------------------------
def suspect_row(suspect: Suspect, explanation: Explanation) -> SuspectRow:
    change = suspect.change
    shared = [f"same {wording.words(name)} {change.names[name]}" for name in suspect.matches]
    news = [f"names the new {wording.words(name)}" for name in suspect.named]
    away = _turned(wording.lead(suspect, explanation.step), "onset" if explanation.onset else "start")
    return SuspectRow(
        change.title, change.kind, change.at, change.url, away, ", ".join((*news, *shared)), suspect.strong
    )


def _turned(away: str, moment: str) -> str:
    """How far the change is from the onset: "14 min after" it becomes "14 min before the onset"."""
    length, _, side = away.rpartition(" ")
    return (
        f"{length} {'before' if side == 'after' else 'after'} the {moment}" if length != "right" else f"at the {moment}"
    )


# --- For other pages --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Summary:
    """What an anomaly or a report says of a change: drawn by usage/explain/summary.html."""

    finding: str
    rows: list[tuple[str, str, float | None]]
    suspects: list[SuspectRow]
    url: str


def summary(explanation: Explanation, zone: tzinfo, team: str = "") -> Summary:
    """The finding, its parts (name, change, share of it) and suspects, with the page that shows all of it."""
    question = explanation.question
    rows = [
        (wording.name_of(part).capitalize(), said(question.metric, part.contribution), part.share)
        for part in explanation.parts
    ]
    url = explain_url(question.metric.name, question.window, question.before, team=team, filters=question.filters)
    suspects = [suspect_row(suspect, explanation) for suspect in explanation.suspects]
    return Summary(wording.finding(explanation, zone), rows, suspects, url)
