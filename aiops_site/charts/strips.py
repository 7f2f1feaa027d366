"""Small marks drawn on the server as SVG: the sparkline and the availability strip."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from aiops_site import formats

Value = Decimal | float | int | None
WIDTH, HEIGHT = 96, 24


@dataclass(frozen=True)
class Spark:
    """Paths for components/spark.html, in a box of WIDTH × HEIGHT."""

    line: str
    area: str
    dot: tuple[float, float] | None
    label: str
    width: int = WIDTH
    height: int = HEIGHT


def sparkline(values: Sequence[Value], label: str = "") -> Spark:
    """A line through `values` in order; None interrupts it. Empty paths when nothing is known."""
    numbers = [float(n) if (n := formats.known(v)) is not None else None for v in values]
    known = [n for n in numbers if n is not None]
    low, high = (min(0.0, *known), max(known)) if known else (0.0, 0.0)
    places = [None if n is None else place(i, n, len(numbers), low, high) for i, n in enumerate(numbers)]
    runs = split_runs(places)
    return Spark(
        line=" ".join(path(run) for run in runs),
        area=" ".join(f"{path(run)}V{HEIGHT}H{run[0][0]:g}Z" for run in runs if len(run) > 1),
        dot=next((p for p in reversed(places) if p), None),
        label=label,
    )


def place(index: int, value: float, count: int, low: float, high: float) -> tuple[float, float]:
    x = 1 + (WIDTH - 4) * index / max(count - 1, 1)
    y = HEIGHT - 2 - (HEIGHT - 4) * ((value - low) / (high - low) if high > low else 0)
    return round(x, 1), round(y, 1)


def split_runs(places: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Neighbouring known points, one list for each stretch between gaps."""
    runs: list[list[tuple[float, float]]] = [[]]
    for spot in places:
        runs[-1].append(spot) if spot else runs.append([])
    return [run for run in runs if run]


def path(run: Sequence[tuple[float, float]]) -> str:
    """SVG path data; a lonely point becomes a short dash."""
    points = run if len(run) > 1 else [run[0], (run[0][0] + 1, run[0][1])]
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


# How the slots of a strip are named: by the hour up to _FEW_DAYS, with the date beyond.
_FEW_DAYS = timedelta(days=2)
_SHORT, _LONG = "%a %H:%M", "%a %-d %b %H:%M"


@dataclass(frozen=True)
class Slot:
    """One cell of a strip: the share of good requests from `start` on (0 to 1), None without traffic."""

    start: datetime
    ratio: Value
    url: str = ""


@dataclass(frozen=True)
class Cell:
    """A slot ready to draw."""

    x: float
    width: float
    tone: str
    title: str
    url: str


@dataclass(frozen=True)
class Strip:
    """For components/strip_24h.html: cells, the ticks under them, and what the picture says in words."""

    cells: list[Cell]
    ticks: list[str]
    label: str
    summary: str


def heat_strip(
    slots: Sequence[Slot],
    *,
    tz: tzinfo = UTC,
    label: str = "Availability, 24 h",
    good: float = 0.995,
    bad: float = 0.98,
) -> Strip:
    """Cells left to right: ok from `good` up, bad below `bad`, warn between, none without traffic."""
    width = 960 / max(len(slots), 1)
    time = _SHORT if not slots or slots[-1].start - slots[0].start <= _FEW_DAYS else _LONG
    titles = [slot_title(s, tz, time) for s in slots]
    cells = [
        Cell(round(i * width, 2), round(width - 1, 2), tone_of(s.ratio, good, bad), title, s.url)
        for i, (s, title) in enumerate(zip(slots, titles, strict=True))
    ]
    return Strip(cells, strip_ticks(slots, tz), label, summary(slots, titles, good))


def strip_ticks(slots: Sequence[Slot], tz: tzinfo) -> list[str]:
    """Seven wall-clock times, or days of a long strip, evenly from the first slot's start to the last slot's end."""
    if len(slots) < 2:
        return []
    start, width = slots[0].start, slots[1].start - slots[0].start
    time = "%H:%M" if width * len(slots) <= _FEW_DAYS else "%-d %b"
    return [f"{(start + width * len(slots) * part / 6).astimezone(tz):{time}}" for part in range(7)]


def tone_of(ratio: Value, good: float, bad: float) -> str:
    number = formats.known(ratio)
    if number is None:
        return "none"
    return "ok" if number >= Decimal(str(good)) else "bad" if number < Decimal(str(bad)) else "warn"


def slot_title(slot: Slot, tz: tzinfo, time: str) -> str:
    share = "no traffic" if slot.ratio is None else f"{formats.percent(slot.ratio)} good"
    return f"{slot.start.astimezone(tz):{time}}: {share}"


def summary(slots: Sequence[Slot], titles: Sequence[str], good: float) -> str:
    """The strip in a sentence, for those who do not see it."""
    known = [
        (ratio, title) for s, title in zip(slots, titles, strict=True) if (ratio := formats.known(s.ratio)) is not None
    ]
    if not known:
        return "No traffic in this time."
    low = [(ratio, title) for ratio, title in known if ratio < Decimal(str(good))]
    if not low:
        return f"All {len(known)} intervals with traffic were at or above {formats.percent(good)}."
    _, worst = min(low, key=lambda found: found[0])
    return f"{len(low)} of {len(known)} intervals were below {formats.percent(good)}; the worst: {worst}."
