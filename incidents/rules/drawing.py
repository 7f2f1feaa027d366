"""A frozen chart as SVG for paper: lines, axes with a few labels, marks. Pure; every text is escaped."""

from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from aiops_site import formats

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 680, 190, 56, 22, 16
SOFT, LINE, BAD, PREVIOUS = "#676a76", "#e3e3e8", "#b8262b", "#a9abb5"


def svg_of(chart: dict[str, Any]) -> str:
    """The chart in 680 × 190 units; gaps are gaps."""
    times = [datetime.fromisoformat(at) for at, _ in chart["points"]]
    known = [y for part in ("points", "before") for _, y in chart[part] if y is not None]
    top = max(known, default=0) or 1
    frame = _Frame(times[0], times[-1], top)
    parts = [*_axes(frame, chart["unit"]), *_marks(frame, chart["marks"])]
    parts += _lines(frame, chart["before"], PREVIOUS, 1.2) + _lines(frame, chart["points"], BAD, 1.8)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Libertinus Serif">'
    return f"{head}{''.join(parts)}</svg>"


class _Frame:
    """Where a moment and a value lie."""

    def __init__(self, start: datetime, end: datetime, top: float) -> None:
        self.start, self.end, self.top = start, end, top
        self.seconds = max(1.0, (end - start).total_seconds())

    def x(self, at: datetime) -> float:
        share = min(1.0, max(0.0, (at - self.start).total_seconds() / self.seconds))
        return LEFT + share * (WIDTH - LEFT - 8)

    def y(self, value: float) -> float:
        return TOP + (1 - value / self.top) * (HEIGHT - TOP - BOTTOM)


def _axes(frame: _Frame, unit: str) -> list[str]:
    parts = []
    for share in (0, 0.5, 1):
        y = frame.y(frame.top * share)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="{LINE}"/>')
        parts.append(_text(LEFT - 6, y + 3.5, formats.figure(frame.top * share, unit), "end"))
    middle = frame.start + (frame.end - frame.start) / 2
    for at, anchor in ((frame.start, "start"), (middle, "middle"), (frame.end, "end")):
        parts.append(_text(frame.x(at), HEIGHT - 6, f"{at:%-d %b %H:%M}", anchor))
    return parts


def _marks(frame: _Frame, marks: list[list[str]]) -> list[str]:
    parts = []
    for place, (at, label) in enumerate(marks):
        x = frame.x(datetime.fromisoformat(at))
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{SOFT}"'
            ' stroke-dasharray="3 3"/>'
        )
        parts.append(_text(x + 3, TOP - 5 + place % 2 * 10, label, "start"))
    return parts


def _lines(frame: _Frame, points: list[list[Any]], colour: str, width: float) -> list[str]:
    runs: list[list[str]] = [[]]
    for at, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{frame.x(datetime.fromisoformat(at)):.1f},{frame.y(value):.1f}")
    return [
        f'<polyline points="{" ".join(run)}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        for run in runs
        if run
    ]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="9.5" fill="{SOFT}" text-anchor="{anchor}">{escape(text)}</text>'
