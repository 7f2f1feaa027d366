"""From a Chart to Plotly's JSON. Colours stay custom properties; static/js/charts.js resolves them for the theme.

Plotly has no time zones: x is written as the viewer's wall clock, and `customdata` carries the instant in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import floor, log10
from typing import TYPE_CHECKING, Any

from aiops_site import formats

if TYPE_CHECKING:
    from aiops_site.charts.model import Chart, Marker, Series, Threshold

HEIGHTS = {"small": 160, "medium": 232, "large": 320}
DASHES = {"": "solid", "dot": "dot", "dash": "dash"}
MAX_DIRECT = 4  # direct labels at the line's end; with more lines the key above the chart says it
LABEL_GAP = 15  # px between two direct labels
# The second line stands only where it changes.
DATES = [
    {"dtickrange": [None, 86_399_999], "value": "%H:%M\n%a %-d %b"},
    {"dtickrange": [86_400_000, 86_400_000 * 27], "value": "%-d %b\n%Y"},
    {"dtickrange": [86_400_000 * 27, None], "value": "%b\n%Y"},
]


def figure(chart: Chart) -> dict[str, Any]:
    """{data, layout, meta}: `meta` is for our script (drill-down address, bucket width in s, direct labels)."""
    colour = chart.colour_of()
    data = [trace for s in ordered(chart.series) for trace in traces(s, colour[s.name], chart)]
    data += [hatch(chart, start, end) for start, end in chart.unknown]
    labels = direct_labels(chart, colour)
    return {
        "data": data,
        "layout": layout(chart, bool(labels)),
        "meta": {
            "drill": chart.drill_url,
            "step": chart.width.total_seconds() if chart.width else None,
            "labels": labels,
        },
    }


def ordered(series: list[Series]) -> list[Series]:
    """Bands first, then the previous period, so that today's lines lie on top."""
    return sorted(series, key=lambda s: (s.kind != "band", not s.previous))


def wall_clock(moment: datetime, chart: Chart) -> str:
    return moment.astimezone(chart.tz).strftime("%Y-%m-%d %H:%M:%S")


def utc_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def at(x: datetime | str, chart: Chart) -> str:
    return wall_clock(x, chart) if isinstance(x, datetime) else x


def drawn(value: Any) -> float | None:
    """A float for the eye only; the table keeps the exact value."""
    number = formats.known(value)
    return None if number is None else float(number)


def traces(series: Series, colour: str, chart: Chart) -> list[dict[str, Any]]:
    """One trace for a line, area or row of bars; two edges for a band."""
    if series.kind == "band":
        return band(series, colour, chart)
    trace = common(series, chart, [y for _, y in series.points])
    if series.kind == "bar":
        return [trace | bar_marks(series, colour)]
    line = {"color": colour, "width": 1 if series.previous else 1.75, "dash": DASHES[series.dash]}
    trace |= {"type": "scatter", "mode": "lines", "line": line, "connectgaps": False}
    if lonely(series):
        trace |= {"mode": "lines+markers", "marker": {"color": colour, "size": 4}}
    return [trace | (fill(colour, chart.stacked) if series.kind == "area" else {})]


def fill(colour: str, stacked: bool) -> dict[str, Any]:
    """A pale ground under one area; solid layers, added up, where areas are stacked."""
    if stacked:
        return {"stackgroup": "one", "fillcolor": f"{colour}/0.55", "line": {"color": colour, "width": 1}}
    return {"fill": "tozeroy", "fillcolor": f"{colour}/0.14"}


def lonely(series: Series) -> bool:
    """Whether some point has no neighbour, so that a line alone would not show it."""
    seen = [y is not None for _, y in series.points]
    around = zip([False, *seen], seen, [*seen[1:], False], strict=False)
    return any(here and not before and not after for before, here, after in around)


def common(series: Series, chart: Chart, values: list) -> dict[str, Any]:
    """What every trace has: points, instants for the drill-down, and the words of the hover."""
    shown = [formats.figure(v, chart.unit) for v in values]
    return {
        "name": series.name,
        "x": [at(x, chart) for x, _ in series.points],
        "y": [drawn(v) for v in values],
        "customdata": [utc_text(x) if isinstance(x, datetime) else x for x, _ in series.points],
        "text": shown,
        "hovertemplate": f"%{{text}}<extra>{safe(series.name)}</extra>",
        "textposition": "none" if series.kind == "bar" else None,
        "showlegend": False,
    }


def safe(text: str) -> str:
    """Plotly reads a little HTML and %{…} in its labels: neither may come from a name."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("%{", "% {")


def bar_marks(series: Series, colour: str) -> dict[str, Any]:
    pattern = {"shape": "/", "size": 5, "solidity": 0.35, "fillmode": "replace"} if series.tone == "muted" else None
    return {"type": "bar", "marker": {"color": colour, "pattern": pattern, "line": {"width": 0}}}


def band(series: Series, colour: str, chart: Chart) -> list[dict[str, Any]]:
    """The expected range: a lower edge, and an upper edge filled down to it."""
    pairs = [y if isinstance(y, tuple) else (None, None) for _, y in series.points]
    edge = {"type": "scatter", "mode": "lines", "line": {"width": 0, "color": colour}, "hoverinfo": "skip"}
    quiet = {"hovertemplate": None}
    low = common(series, chart, [low for low, _ in pairs]) | edge | quiet
    high = common(series, chart, [high for _, high in pairs]) | edge | quiet
    return [low, high | {"fill": "tonexty", "fillcolor": f"{colour}/0.14"}]


def hatch(chart: Chart, start: datetime, end: datetime) -> dict[str, Any]:
    """A hatched column over a span without a figure, on an axis of its own from 0 to 1."""
    middle = start + (end - start) / 2
    return {
        "type": "bar",
        "x": [wall_clock(middle, chart)],
        "y": [1],
        "yaxis": "y2",
        "width": [(end - start) / timedelta(milliseconds=1)],
        "marker": {
            "color": "var(--c-muted)/0.35",
            "pattern": {"shape": "/", "size": 6, "solidity": 0.15, "fillmode": "replace"},
            "line": {"width": 0},
        },
        "hovertemplate": "unknown<extra></extra>",
        "showlegend": False,
    }


def layout(chart: Chart, labelled: bool) -> dict[str, Any]:
    """Margins, axes, rules; nothing that the caption already says."""
    base = {
        "height": HEIGHTS[chart.height],
        "margin": {
            "l": 52,
            "r": 92 if labelled else 12,
            "t": 22 if chart.markers or labelled_at_top(chart) else 8,
            "b": 38,
        },
        "font": {"size": 11, "color": "var(--soft)"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": "var(--surface)",
            "bordercolor": "var(--line-strong)",
            "font": {"color": "var(--text)"},
        },
        "barmode": "stack" if chart.stacked else "group",
        "bargap": 0.18,
        "dragmode": False,
        "xaxis": x_axis(chart),
        "yaxis": y_axis(chart),
        "shapes": [*map(threshold_rule, chart.thresholds), *(marker_rule(m, chart) for m in chart.markers)],
        "annotations": [*map(threshold_label, chart.thresholds), *(marker_label(m, chart) for m in spaced(chart))],
    }
    if chart.unknown:
        base["yaxis2"] = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    return base


def x_axis(chart: Chart) -> dict[str, Any]:
    axis = {"showgrid": False, "linecolor": "var(--line-strong)", "tickcolor": "var(--line-strong)", "ticks": "outside"}
    axis |= {"ticklen": 4, "fixedrange": True, "automargin": False}
    if chart.x == "category":
        return axis | {"type": "category"}
    axis |= {"type": "date", "hoverformat": "%a %-d %b %H:%M", "nticks": 8, "tickformatstops": DATES}
    if chart.start and chart.end:
        axis["range"] = [wall_clock(chart.start, chart), wall_clock(chart.end, chart)]
    return axis


def y_axis(chart: Chart) -> dict[str, Any]:
    """An axis whose ticks are written like every other figure of the desk; Plotly's own where values are below 0."""
    axis = {"gridcolor": "var(--grid)", "zeroline": False, "fixedrange": True, "ticklabelstandoff": 6}
    lowest, highest = min(chart.values(), default=0.0), top(chart)
    if chart.log_y:
        return axis | {"type": "log"} | labelled(log_ticks(lowest, highest), chart.unit)
    if lowest < 0 or not highest:
        percent = {"tickformat": ",.0~%"} if chart.unit == "%" else {}
        return (
            axis
            | percent
            | {"rangemode": "tozero", "nticks": 5, "zeroline": True}
            | {"zerolinecolor": "var(--line-strong)"}
        )
    ticks = linear_ticks(highest, 3 if chart.height == "small" else 5)
    return axis | {"range": [0, max(highest * 1.04, ticks[-1])]} | labelled(ticks, chart.unit)


def labelled(ticks: list[float], unit: str) -> dict[str, Any]:
    return {"tickmode": "array", "tickvals": ticks, "ticktext": [axis_text(tick, unit) for tick in ticks]}


def axis_text(tick: float, unit: str) -> str:
    """A tick in its unit, without the words that the head of the chart already says and without cents of 0."""
    if unit == "%":
        return f"{formats.exact(Decimal(str(tick)) * 100)} %"
    if unit.startswith("USD"):
        return "$0" if not tick else formats.money(tick).removesuffix(".00")
    return formats.figure(tick, unit) if unit in formats.UNITS and tick else formats.compact(tick)


def top(chart: Chart) -> float:
    """The highest point drawn: of stacked series the highest sum."""
    highest = max(chart.values(), default=0.0)
    if chart.stacked:
        sums: dict[Any, float] = {}
        for x, y in (point for s in chart.drawn if s.kind != "band" for point in s.points):
            sums[x] = sums.get(x, 0.0) + (drawn(y) or 0.0)
        highest = max(highest, *sums.values())
    return max([highest, *(drawn(t.value) or 0.0 for t in chart.thresholds)])


def labelled_at_top(chart: Chart) -> bool:
    """Whether the label above a threshold would stand beyond the axis."""
    return any((drawn(threshold.value) or 0.0) > 0.85 * top(chart) for threshold in chart.thresholds)


def linear_ticks(highest: float, about: int) -> list[float]:
    """0 and multiples of 1, 2, 2.5 or 5 × 10ⁿ up to `highest`, about so many."""
    power = 10.0 ** floor(log10(highest / about))
    step = next(power * n for n in (1, 2, 2.5, 5, 10) if power * n * about >= highest * 0.999)
    return [float(f"{step * n:.6g}") for n in range(int(highest / step + 0.001) + 1)]


def log_ticks(lowest: float, highest: float) -> list[float]:
    """1, 2 and 5 × 10ⁿ between the values; powers of ten alone over more than three decades."""
    low, high = (max(lowest, 1e-9), max(highest, 1e-9))
    factors = (1, 2, 5) if log10(high / low) <= 3 else (1,)
    powers = range(floor(log10(low)), floor(log10(high)) + 1)
    ticks = [float(f"{n * 10.0**p:.6g}") for p in powers for n in factors if low * 0.8 <= n * 10.0**p <= high * 1.25]
    return ticks or [low, high]


def threshold_rule(threshold: Threshold) -> dict[str, Any]:
    line = {"color": "var(--bad)", "width": 1, "dash": "dash"}
    value = drawn(threshold.value)
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value, "line": line}


def threshold_label(threshold: Threshold) -> dict[str, Any]:
    """Above the left end of its rule. An annotation on a log axis is placed by logarithm, so the script does that."""
    return {
        "xref": "paper",
        "x": 0,
        "y": drawn(threshold.value),
        "text": safe(threshold.label),
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "bottom",
        "font": {"size": 11, "color": "var(--bad)"},
    }


def marker_rule(marker: Marker, chart: Chart) -> dict[str, Any]:
    x = wall_clock(marker.at, chart)
    line = {"color": "var(--soft)", "width": 1, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def spaced(chart: Chart) -> list[Marker]:
    """The markers whose labels, an eighth of the axis wide, do not touch; the others keep only their rule."""
    if not (chart.start and chart.end):
        return chart.markers
    room = (chart.end - chart.start) / 8
    free = chart.start - room  # where the last label kept ends
    kept: list[Marker] = []
    for marker in sorted(chart.markers, key=lambda m: m.at):
        left = marker.at - room if late(marker, chart) else marker.at
        if left >= free:
            kept.append(marker)
            free = left + room
    return kept


def late(marker: Marker, chart: Chart) -> bool:
    """Whether the label stands left of its rule, because the axis ends too soon for it."""
    return bool(chart.start and chart.end and marker.at > chart.start + (chart.end - chart.start) * 0.85)


def marker_label(marker: Marker, chart: Chart) -> dict[str, Any]:
    label = marker.label if len(marker.label) <= 24 else f"{marker.label[:23]}…"
    return {
        "x": wall_clock(marker.at, chart),
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "xanchor": "right" if late(marker, chart) else "left",
        "text": safe(label),
        "hovertext": safe(marker.label),
        "name": marker.url,  # where a click leads; a link inside the text would need an inline style
        "captureevents": bool(marker.url),
        "showarrow": False,
        "font": {"size": 11, "color": "var(--soft)"},
    }


def direct_labels(chart: Chart, colour: dict[str, str]) -> list[dict[str, Any]]:
    """Names at the ends of the lines, where there are few of them and they do not touch; else none."""
    lines = [s for s in chart.drawn if s.kind == "line"]
    fits = chart.x == "time" and not chart.log_y and 1 < len(lines) <= MAX_DIRECT and len(lines) == len(chart.drawn)
    ends = {s.name: end for s in lines if (end := drawn(s.last)) is not None}
    if not fits or len(ends) < len(lines) or any(len(name) > 13 for name in ends):
        return []
    pixels = sorted(v / (top(chart) or 1) * (HEIGHTS[chart.height] - 60) for v in ends.values())
    if any(b - a < LABEL_GAP for a, b in pairwise(pixels)):
        return []
    return [
        {
            "xref": "paper",
            "x": 1,
            "xanchor": "left",
            "xshift": 6,
            "y": value,
            "text": safe(name),
            "showarrow": False,
            "font": {"size": 11, "color": colour[name]},
        }
        for name, value in ends.items()
    ]
