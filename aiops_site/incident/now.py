"""The first part: is it down, since when; the tiles and the strip."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from django.utils import timezone

from aiops_site import formats
from aiops_site.charts import Slot as Cell
from aiops_site.charts import heat_strip
from aiops_site.charts.strips import Strip
from aiops_site.incident import links, population, rules, verdict
from aiops_site.incident.rules import SIGNALS, Signal, Tone, Value
from aiops_site.incident.situation import Situation, Windows, windows
from aiops_site.incident.spells import Slot
from aiops_site.incident.timeline import DAY, Timeline
from aiops_site.incident.verdict import Facts, Finding, Provider, Values, Verdict
from usage.metrics import CATALOGUE
from usage.scope import Scope

FIGURES = tuple(
    dict.fromkeys(
        [*(signal.metric for signal in SIGNALS), *(signal.base for signal in SIGNALS), "events", "errors", "successes",
         "availability", "requests_per_minute", "queue_p95"]
    )
)  # fmt: skip
# Tiles: metric, label, the signal that colours it.
TILES = (
    ("availability", "Availability", "error_rate"),
    ("latency_p95", "Latency p95", "latency_p95"),
    ("call_error_rate", "Provider errors", "call_error_rate"),
    ("requests_per_minute", "Requests", None),
    ("cost_per_hour", "Spend", "cost_per_hour"),
    ("tokens_per_minute", "Tokens", "tokens_per_minute"),
)
UNITS = {
    "availability": "%",
    "latency_p95": "ms",
    "call_error_rate": "%",
    "requests_per_minute": "/min",
    "cost_per_hour": "USD/h",
    "tokens_per_minute": "/min",
}
SPANS = {timedelta(hours=1): "hour", timedelta(days=1): "24 hours"}
WORDS = {"availability": "Failing", "latency_p95": "Slow", "call_error_rate": "Failing"}
STRIP_CELLS = 96
MIDNIGHT = datetime(2001, 1, 1, tzinfo=UTC)  # cells begin on whole hours
CELL_NEEDS = 40  # requests in an average cell of the strip; thinner traffic is drawn by the hour


@dataclass(frozen=True)
class Row:
    """A finding with the link to its evidence."""

    finding: Finding
    url: str


@dataclass(frozen=True)
class Tile:
    """A headline figure: now, over the longer window, and in the same hours last week."""

    label: str
    text: str
    exact: str
    tone: Tone
    word: str
    value: Value
    usual: Value
    better: str
    note: str
    url: str


@dataclass(frozen=True)
class Now:
    """What the template draws."""

    verdict: Verdict
    rows: list[Row]
    tiles: list[Tile]
    label: str
    strip: Strip
    past_text: str
    past_url: str


def read(situation: Situation) -> Now:
    """Five metric queries beside the timeline: three windows of figures, two of providers."""
    at = windows(situation)
    now, hour, usual = (population.figures(scope, FIGURES) for scope in (at.short, at.long, at.usual))
    facts = Facts(
        now=now, hour=hour, usual=usual, providers=providers(at), spell=situation.spell, live=situation.live,
        label=said(at.short, situation), hour_label=said(at.long, situation).lower(), zone=situation.scope.zone,
        silent_minutes=silent_minutes(situation), noun=population.of(situation.scope).noun,
    )  # fmt: skip
    given = verdict.give(facts)
    return Now(
        verdict=given,
        rows=[Row(f, links.evidence(at.short, **f.filters)) for f in given.findings],
        tiles=[tile(name, label, signal, at, now, hour, usual) for name, label, signal in TILES],
        label=facts.label,
        strip=strip(situation),
        past_text=past_text(situation),
        past_url=past_url(situation),
    )


def providers(at: Windows) -> list[Provider]:
    """Each provider called in the judged window beside its usual error rate, the busiest first; two metric queries."""
    metrics = ("calls", "call_error_rate")
    now, usual = (scope.query(metrics, group_by=("provider",)) for scope in (at.short, at.usual))
    return [
        Provider(
            row.key[0], row.values["calls"], row.values["call_error_rate"], usual.value("call_error_rate", row.key)
        )
        for row in now.ranked("calls")
        if row.key[0] and row.values["calls"]
    ]


def said(scope: Scope, situation: Situation) -> str:
    """A window in words: "In the last 15 min" or "Since 11:00" while live, "From 11:00 to 11:50" of a past one."""
    if situation.live and situation.spell and scope.start == situation.spell.start:
        return focus_label(situation)
    if situation.live:
        return f"In the last {SPANS.get(scope.end - scope.start) or formats.span_text(scope.end - scope.start)}"
    start, end = (moment.astimezone(scope.zone) for moment in (scope.start, scope.end))
    return f"From {start:%-d %b %H:%M} to {end:{'%H:%M' if start.date() == end.date() else '%-d %b %H:%M'}}"


def focus_label(situation: Situation) -> str:
    """The window that the parts about who and why speak of, in words."""
    spell = situation.spell
    if spell is None:
        return said(situation.focus, situation)
    start, end = (moment.astimezone(situation.scope.zone) for moment in (spell.start, spell.end))
    return f"Since {start:%H:%M}" if situation.live and spell.ongoing else f"{start:%-d %b %H:%M}–{end:%H:%M}"


def silent_minutes(situation: Situation) -> float | None:
    """Minutes since the last slot that had traffic began to be over; None when there was none in the timeline."""
    seen = [slot.start for slots in situation.timeline.subjects.values() for slot in slots if slot.count]
    if not seen:
        return (situation.timeline.end - situation.timeline.start) / timedelta(minutes=1)
    ended = min(max(seen) + situation.timeline.width, situation.scope.end)
    return (situation.scope.end - ended) / timedelta(minutes=1)


def tile(name: str, label: str, signal: str | None, at: Windows, now: Values, hour: Values, usual: Values) -> Tile:
    """One headline figure. Its colour is that of the signal it stands for; ok is not coloured."""
    judged = rules.BY_METRIC[signal] if signal else None
    tone = rules.grade(judged, verdict.reading_of(judged, now, usual)) if judged else ""
    unit = UNITS[name]
    longer = formats.span_text(at.long.end - at.long.start)
    return Tile(
        label=label,
        text=formats.figure(now[name], unit),
        exact=formats.figure_exact(now[name], unit),
        tone=tone if tone in ("bad", "warn") else "",
        word=WORDS.get(name, "High") if tone == "bad" else "Watch",
        value=now[name],
        usual=usual[name] if usual["events"] else None,
        better=CATALOGUE[name].better,
        note="" if at.long.start == at.short.start else f"{longer}: {formats.figure(hour[name], unit)}",
        url=links.evidence(at.short, **_drill(judged)),
    )


def _drill(signal: Signal | None) -> dict[str, str]:
    return signal.drill if signal else {}


# --- The strip ----------------------------------------------------------------------------------------------------
def strip(situation: Situation) -> Strip:
    """Availability over the timeline, at most STRIP_CELLS cells; each leads to that time on this page."""
    timeline = situation.timeline
    width = timeline.width * _merge(timeline)
    groups = groupby(timeline.requests, key=lambda slot: slot.start - (slot.start - MIDNIGHT) % width)
    cells = [Cell(start, _share_ok(list(slots)), _zoom(situation, start, width)) for start, slots in groups]
    length = max(situation.scope.end - situation.scope.start, DAY)
    span = SPANS.get(length) or formats.span_text(length)
    error_rate = rules.BY_METRIC["error_rate"]
    return heat_strip(
        cells,
        tz=situation.scope.zone,
        label=f"Share of {population.of(situation.scope).noun} answered, {span}",
        good=1 - (error_rate.warn or 0),
        bad=1 - (error_rate.bad or 0),
    )


def _merge(timeline: Timeline) -> int:
    """Slots in a cell: few enough cells to see, each known, and enough traffic in each to be judged by its colour."""
    least = max(-(-len(timeline.requests) // STRIP_CELLS), timeline.known_by // timeline.width)
    requests = sum(slot.count for slot in timeline.requests)
    hour = max(round(timedelta(hours=1) / timeline.width), 1)
    thin = requests / len(timeline.requests) * least < CELL_NEEDS
    return max(least, hour) if thin else least


def _share_ok(slots: list[Slot]) -> float | None:
    count = sum(slot.count for slot in slots)
    return 1 - sum(slot.failed for slot in slots) / count if count else None


def _zoom(situation: Situation, start: datetime, width: timedelta) -> str:
    return links.page(situation.scope, from_=start - width, to=min(start + 2 * width, timezone.now()))


def past_text(situation: Situation) -> str:
    """What failed earlier in the window of a live page, in a sentence; "" when nothing did."""
    spell = situation.past
    if not spell:
        return ""
    start, end = (moment.astimezone(situation.scope.zone) for moment in (spell.start, spell.end))
    what = f"calls to {spell.subject}" if spell.subject else population.of(situation.scope).noun
    share = f"{formats.percent(spell.share)} of {formats.exact(spell.count)} {what} failed"
    return f"Earlier, {start:%H:%M} to {end:%H:%M}: {share}."


def past_url(situation: Situation) -> str:
    spell = situation.past
    if not spell:
        return ""
    margin = max(spell.length, timedelta(minutes=30))
    return links.page(situation.scope, from_=spell.start - margin, to=min(spell.end + margin, situation.scope.end))
