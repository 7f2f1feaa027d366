"""What every backtest answers, and the steps of a rule's label set over readings that were."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from incidents.queries.history import Grid
from incidents.queries.readings import DAY, HOUR
from incidents.rules.alert_rules import Reading, Standing, Terms, judge, step
from usage import partitions
from usage.metrics.window import FIXED_STEPS

DAYS = 30
# A window without anything in it.
SILENT = Reading(None, 0)


@dataclass(frozen=True)
class Span:
    """A time it would have fired; `end` None: it still would."""

    start: datetime
    end: datetime | None


@dataclass(frozen=True)
class Tried:
    """One label set: what was compared with the threshold (None: not judged), and when it would have fired."""

    team: str
    labels: dict[str, str]
    points: dict[datetime, Decimal | None]
    spans: list[Span]


@dataclass(frozen=True)
class Drawn:
    """What the points of a backtest are where they are not the rule's metric. `unit` as in incidents.rules.words;
    `threshold` None: nothing to be compared with."""

    unit: str
    threshold: Decimal | None = None
    above: bool = True


@dataclass(frozen=True)
class Backtest:
    """Label sets from `start` to `end`, those that fired most first; `teams`: how many of them were looked at.

    `step`: how fine it was looked at; "" where moments are what is stored. `since`: from when on there is something
    to judge, where that is not the first point. `note`: what else to know about it, in a sentence.
    """

    start: datetime
    end: datetime
    step: str
    teams: int
    of_teams: int
    sets: list[Tried] = field(default_factory=list)
    since: datetime | None = None
    note: str = ""
    drawn: Drawn | None = None

    @property
    def times(self) -> int:
        """How often it would have fired."""
        return sum(len(one.spans) for one in self.sets)

    @property
    def days(self) -> int:
        return max(1, round((self.end - self.start) / DAY))

    @property
    def counts_from(self) -> datetime | None:
        """From when on it could be judged, where that is more than a day after the start; else None."""
        first = self.since or min((at for one in self.sets if (at := _first_known(one))), default=None)
        return first if first and first > self.start + DAY else None


def _first_known(one: Tried) -> datetime | None:
    return next((at for at, value in one.points.items() if value is not None), None)


def ranked(sets: Iterable[Tried]) -> list[Tried]:
    """Those that fired most first."""
    return sorted(sets, key=lambda one: (-len(one.spans), one.team, sorted(one.labels.items())))


def replayed(asked: Terms, readings: Iterable[tuple[datetime, Reading]]) -> tuple[dict, list[Span]]:
    """Moment → value that was judged, and when it would have fired; readings in order of time."""
    points: dict[datetime, Decimal | None] = {}
    standing, spans = Standing(), []
    calm = asked.no_data != "fire"
    for at, reading in readings:
        if reading is SILENT and calm and standing.state == "ok":
            points[at] = None
            continue
        points[at] = None if _too_few(asked, reading) else reading.value
        verdict = judge(asked, reading)
        if verdict != "breach" and standing.state == "ok":
            continue  # as it was: nearly all of the thousands of moments
        after = step(replace(standing, seen=None), verdict, asked, at)
        if after.state == "firing" and standing.state != "firing":
            spans.append(Span(at, None))
        elif standing.state == "firing" and after.state == "ok":
            spans[-1] = Span(spans[-1].start, at)
        standing = after
    return points, spans


def _too_few(asked: Terms, reading: Reading) -> bool:
    return reading.events is not None and reading.events < asked.min_events


def step_for(seconds: int) -> str:
    """How fine a window is looked at: every five minutes, every minute if shorter, by the hour from an hour on."""
    return "minute" if seconds < 300 else "5min" if seconds < 3600 else "hour"


def grid_of(step: str, seconds: int, now: datetime, days: int, lead: timedelta = timedelta(0)) -> Grid:
    """Whole steps up to `now` from `days` and `lead` before it, as far back as they are kept."""
    length = FIXED_STEPS[step]
    end = now - (now - datetime(2001, 1, 1, tzinfo=now.tzinfo)) % length
    start = end - timedelta(days=days) - lead
    if step != "hour":
        start = max(start, partitions.minute_horizon(now) + HOUR)
    start += -(start - datetime(2001, 1, 1, tzinfo=now.tzinfo)) % length
    return Grid(step, start, end, max(1, -(-seconds // int(length.total_seconds()))))
