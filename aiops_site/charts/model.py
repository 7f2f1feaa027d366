"""A chart as a page describes it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Literal, NamedTuple

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from aiops_site import formats
from aiops_site.charts import plotly
from aiops_site.charts.colours import colours, tone

Value = Decimal | float | int | None
X = datetime | str
# The names of bucket widths, as the metric query and the pages' scope say them.
STEPS = {
    "minute": timedelta(minutes=1),
    "5min": timedelta(minutes=5),
    "15min": timedelta(minutes=15),
    "hour": timedelta(hours=1),
    "6hour": timedelta(hours=6),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
Kind = Literal["line", "bar", "area", "band"]
_BETWEEN, _NEXT = "\x1f", '</td><td class="num">'  # the unit separator: no name has control characters


@dataclass(frozen=True)
class Series:
    """One line, row of bars, area or band.

    `points` are (x, value), for a band (x, (low, high)); x is an aware datetime (start of the bucket) or a category.
    None is a gap. `key` chooses the colour (default: the name); `tone` ("ok", "warn", "bad", "info", "accent",
    "muted") replaces it by a meaning. `previous` draws the thin grey line of the period before: shift its x first.
    """

    name: str
    points: Sequence[tuple[X, Value | tuple[Value, Value]]]
    kind: Kind = "line"
    key: str = ""
    tone: str = ""
    dash: Literal["", "dot", "dash"] = ""
    previous: bool = False

    @property
    def colour_key(self) -> str:
        return self.key or self.name

    @property
    def last(self) -> Value:
        """The newest known value."""
        return next(iter(reversed(self.known)), None)

    @property
    def known(self) -> list[Decimal | float | int]:
        """The known values; none of a band."""
        return [y for _, y in self.points if y is not None and not isinstance(y, tuple)]

    @property
    def summary(self) -> Value:
        """What stands for the series in few words: of bars, which add up, their sum; else the newest value."""
        return sum(self.known) if self.kind == "bar" and self.known else self.last


class Marker(NamedTuple):
    """A change drawn as a labelled vertical rule."""

    at: datetime
    label: str
    url: str = ""


class Threshold(NamedTuple):
    """A horizontal rule: a limit or an objective."""

    value: Value
    label: str


class Table(NamedTuple):
    """The chart's data in words: a head and rows of text."""

    head: list[str]
    rows: list[list[str]]

    @property
    def body(self) -> SafeString:
        """The rows as HTML. Hundreds of rows of a template's loop cost more than all the rest of a chart."""
        rows = (escape(_BETWEEN.join(row)).partition(_BETWEEN) for row in self.rows)
        cells = (f'{name}</th><td class="num">{values.replace(_BETWEEN, _NEXT)}</td>' for name, _, values in rows)
        return mark_safe("".join(f'<tr><th scope="row">{cell}</tr>' for cell in cells))


@dataclass(frozen=True)
class Chart:
    """A figure with its finding as title. Times are drawn in `tz`; money is exact in the table."""

    id: str
    title: str
    unit: str  # USD, ms, tokens, %, requests, calls, or words like "USD/h", "tokens/min"; % takes ratios (0.01)
    series: list[Series]
    tz: tzinfo = UTC
    x: Literal["time", "category"] = "time"
    step: timedelta | str | None = None  # bucket width, also by name ("hour"): where a click's drill-down ends
    start: datetime | None = None  # x range; give stacked charts the same
    end: datetime | None = None
    markers: list[Marker] = field(default_factory=list)
    thresholds: list[Threshold] = field(default_factory=list)
    unknown: list[tuple[datetime, datetime]] = field(default_factory=list)  # hatched: there is no figure, not 0
    log_y: bool = False
    stacked: bool = False
    height: Literal["small", "medium", "large"] = "medium"
    note: str = ""  # a sentence under the title
    source_url: str = ""
    csv_url: str = ""
    drill_url: str = ""  # a click adds from= and to= of its bucket
    table_open: bool = False

    @property
    def data_id(self) -> str:
        """The id of the script element that carries the figure."""
        return f"figure-{self.id}"

    @property
    def unit_label(self) -> str:
        """The unit beside the title; a percentage and a count of dollars say it at the axis already."""
        return f"{self.unit}, log scale" if self.log_y else self.unit

    @property
    def drawn(self) -> list[Series]:
        """The series without those of the previous period."""
        return [s for s in self.series if not s.previous]

    @property
    def width(self) -> timedelta | None:
        """The bucket width as a length of time."""
        return STEPS[self.step] if isinstance(self.step, str) else self.step

    @property
    def empty(self) -> bool:
        return not any(y is not None for s in self.series for _, y in s.points)

    def values(self) -> list[float]:
        """Every known value drawn, both ends of a band included."""
        ends = [end for s in self.series for _, y in s.points for end in (y if isinstance(y, tuple) else (y,))]
        return [float(number) for end in ends if (number := formats.known(end)) is not None]

    def colour_of(self) -> dict[str, str]:
        """Series name to CSS colour; a chart of one thing uses the accent."""
        named = colours([s.colour_key for s in self.drawn])
        alone = len(self.drawn) == 1 and not self.drawn[0].key
        return {s.name: self._colour(s, named, alone) for s in self.series}

    def _colour(self, series: Series, named: dict[str, str], alone: bool) -> str:
        if series.previous:
            return tone("previous")
        if series.tone:
            return tone(series.tone)
        return tone("accent") if alone else named[series.colour_key]

    def keys(self) -> list[dict[str, str]]:
        """The legend: name, colour, shape and the summary of each series."""
        colour = self.colour_of()
        return [
            {
                "name": s.name,
                "swatch": colour[s.name].removeprefix("var(--").removesuffix(")"),
                "shape": "band" if s.kind == "band" else "rule" if s.kind == "line" else "box",
                "dash": s.dash,
                "last": formats.figure(s.summary, self.unit) if s.summary is not None and not s.previous else "",
            }
            for s in self.series
        ]

    def table(self) -> Table:
        """Every number drawn, with all its digits: one row per x, one column per series."""
        columns = [dict(s.points) for s in self.series]
        xs = sorted({x for column in columns for x in column}) if self.x == "time" else self._categories()
        head = ["Time" if self.x == "time" else "Name", *[f"{s.name} ({self.unit})" for s in self.series]]
        return Table(head, [[self._x_text(x), *[self._cell(c, x) for c in columns]] for x in xs])

    def _categories(self) -> list[str]:
        return list(dict.fromkeys(str(x) for s in self.series for x, _ in s.points))

    def _x_text(self, x: X) -> str:
        return x.astimezone(self.tz).strftime("%Y-%m-%d %H:%M") if isinstance(x, datetime) else x

    def _cell(self, column: dict, x: X) -> str:
        if x not in column:
            return "–"
        value = column[x]
        ends = value if isinstance(value, tuple) else (value,)
        return " to ".join(formats.figure_exact(end, self.unit) for end in ends)

    def figure(self) -> dict:
        """The Plotly figure as plain JSON; colours are custom properties, resolved in the browser."""
        return plotly.figure(self)
