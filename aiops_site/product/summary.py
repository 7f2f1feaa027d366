"""The top of the page: tiles beside the compared period, and the health score of the last day."""

from dataclasses import dataclass
from datetime import timedelta

from aiops_site import formats
from aiops_site.product import health, links, signals
from aiops_site.product.comparison import Line
from aiops_site.product.comparison import line as compared_line
from aiops_site.product.health import Health
from aiops_site.product.rules import FEWEST, Interval, Value, wilson
from aiops_site.product.signals import Signal
from usage.metrics import MetricResult
from usage.scope import Scope

DAY = timedelta(days=1)
USUAL = timedelta(days=7)  # what latency and cost of the health score are held against


@dataclass(frozen=True)
class Tile:
    """One figure; `line` holds it beside the compared one (None: nothing compared), `note` says of how many answers."""

    signal: Signal
    value: Value
    line: Line | None
    note: str
    url: str

    @property
    def tone(self) -> str:
        """Colour only for what changed beyond chance."""
        return {"better": "ok", "worse": "bad"}.get(self.line.word if self.line else "", "flat")


@dataclass(frozen=True)
class Summary:
    """What the top of the page says."""

    tiles: list[Tile]
    requests: int
    noun: str
    against: str


def read(scope: Scope) -> Summary:
    """Two metric queries, one without a comparison."""
    shown = signals.tiles(scope)
    names = signals.metrics(shown)
    now, before = scope.query(names), scope.previous.query(names) if scope.previous else None
    count, noun = ("calls", "model calls") if signals.by_calls(scope) else ("requests", "requests")
    against = {"none": "", "previous": "vs period before", "week": "vs a week earlier"}[scope.compare]
    return Summary([tile(scope, signal, now, before) for signal in shown], now.value(count), noun, against)


def tile(scope: Scope, signal: Signal, now: MetricResult, before: MetricResult | None) -> Tile:
    value = now.value(signal.metric)
    line = compared_line(signal, (before, now), ((), ())) if before else None
    return Tile(
        signal=signal,
        value=value,
        line=line,
        note=sample(signal, value, now.value(signal.n)) if signal.n else "",
        url=links.evidence(scope, **dict(signal.drill)) if signal.drill else "",
    )


def sample(signal: Signal, value: Value, count: int) -> str:
    """How many answers a share speaks of, and how sure that makes it: "of 1,204 answers, 1.4 % to 3.1 %"."""
    if not count:
        return f"no {signal.of} say so" if signal.share else f"no {signal.of}"
    text = f"of {formats.counted(count, signal.of, formats.compact)}"
    if not signal.share or value is None:
        return text
    interval = wilson(value, count)
    return f"{text}, {span(interval)}" if interval and count >= FEWEST else f"{text}: too few"


def span(interval: Interval) -> str:
    """Both ends, with the digits that tell them apart: "1.4–3.1 %", kept on one line."""
    digits = 1 if interval.high - interval.low < 0.05 else 0
    return f"{100 * interval.low:.{digits}f}\u2060–\u2060{100 * interval.high:.{digits}f}\u00a0%"


# --- Health score -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Shown:
    """The score of the last day of the window and how much it changed from the day before (None where unknown)."""

    today: Health
    yesterday: Health
    scope: Scope

    @property
    def change(self) -> float | None:
        """Points since the day before, over the parts known on both days: else a part's coming would be a change."""
        both = [
            (now.score, then.score)
            for now, then in zip(self.today.parts, self.yesterday.parts, strict=True)
            if now.score is not None and then.score is not None
        ]
        return sum(now - then for now, then in both) / len(both) if both else None

    @property
    def change_text(self) -> str:
        """ "+3 points", "no change"."""
        change = round(self.change or 0)
        sign = "+" if change > 0 else formats.MINUS
        return f"{sign}{abs(change)} point{'' if abs(change) == 1 else 's'}" if change else "no change"

    @property
    def word(self) -> str:
        """Good, fair or poor."""
        score = self.today.score
        return "" if score is None else "good" if score >= 85 else "fair" if score >= 65 else "poor"

    @property
    def tone(self) -> str:
        return {"good": "ok", "fair": "warn", "poor": "bad"}.get(self.word, "neutral")


def read_health(scope: Scope) -> Shown | None:
    """Three metric queries: the last day, the day before, and the week before both. None where calls are counted."""
    if signals.by_calls(scope):
        return None
    today = scope.last(DAY)
    yesterday = today.shifted("previous")
    usual = figures(scope.between(yesterday.start - USUAL, yesterday.start))
    now, then = figures(today), figures(yesterday)
    return Shown(health.measure(now, usual), health.measure(then, usual), today)


def figures(scope: Scope) -> dict[str, Value]:
    result = scope.query(health.METRICS)
    return {name: result.value(name) for name in health.METRICS}
