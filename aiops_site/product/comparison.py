"""Before and after: two versions of a feature, or the time before and after a change."""

from dataclasses import dataclass, replace
from datetime import timedelta

from aiops_site import formats
from aiops_site.product import rules, signals
from aiops_site.product.rules import Interval, Value
from aiops_site.product.signals import Signal
from aiops_site.product.versions import Version, Versions
from usage.metrics import MetricResult
from usage.models import ChangeMarker
from usage.scope import UNTAGGED, Scope

SPANS = {"6h": timedelta(hours=6), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
DEFAULT_SPAN = "24h"
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
WORDS = {
    "better": ("ok", "better"),
    "worse": ("bad", "worse"),
    "changed": ("info", "changed"),
    "within chance": ("neutral", "within chance"),
    "too few": ("neutral", f"under {rules.FEWEST} answers"),
}
CLEAR = 0.1  # figures without an interval: a change below 10 % gets no word


@dataclass(frozen=True)
class Line:
    """One figure of both sides. Shares have an interval of their difference, other figures a relative change."""

    signal: Signal
    before: Value
    after: Value
    n_before: int
    n_after: int

    @property
    def unit(self) -> str:
        return self.signal.unit

    @property
    def interval(self) -> Interval | None:
        if not self.signal.share:
            return None
        return rules.difference(self.before, self.n_before, self.after, self.n_after)

    @property
    def word(self) -> str:
        if self.signal.share:
            return rules.verdict(self.interval, self.signal.better, min(self.n_before, self.n_after))
        change = formats.change(self.after, self.before)
        if change is None or abs(change) < CLEAR:
            return ""
        # Tokens per call have no good side of their own, but more of them is never what was wanted.
        return "worse" if change > 0 else "better"

    @property
    def status(self) -> tuple[str, str]:
        """(tone, word) of the verdict."""
        return WORDS.get(self.word, ("neutral", "–" if self.known else "no figures"))

    @property
    def known(self) -> bool:
        return self.before is not None and self.after is not None

    @property
    def change(self) -> str:
        """Points for shares, per cent for the rest."""
        if not self.known:
            return "–"
        if self.signal.share:
            return points(float(self.after) - float(self.before))
        ratio = formats.change(self.after, self.before)
        return "–" if ratio is None else f"{'+' if ratio > 0 else ''}{formats.percent(ratio)}"

    @property
    def interval_text(self) -> str:
        return f"{points(self.interval.low)} to {points(self.interval.high)}" if self.interval else ""


def points(difference: float) -> str:
    """A difference of shares in percentage points: +1.4, −0.3."""
    size = abs(difference) * 100
    text = f"{size:.1f}" if size >= 0.1 or not size else f"{size:.2f}"
    return f"{'+' if difference > 0 else formats.MINUS if difference < 0 else ''}{text} pt"


@dataclass(frozen=True)
class Comparison:
    """Two sides and their lines. `note` is what the reader must know to trust it."""

    title: str
    before: str
    after: str
    lines: list[Line]
    count_before: int
    count_after: int
    noun: str
    note: str = ""

    @property
    def finding(self) -> str:
        """What stands out: "Worse: tokens per call +92 %. Better: refusals −1.2 pt."."""
        parts = [self._said(word) for word in ("worse", "better")]
        return " ".join(part for part in parts if part) or "Nothing differs beyond chance."

    def _said(self, word: str) -> str:
        found = [f"{line.signal.label.lower()} {line.change}" for line in self.lines if line.word == word]
        return f"{word.capitalize()}: {', '.join(found)}." if found else ""


def compare(
    scope: Scope, title: str, sides: tuple[str, str], results: tuple, keys: tuple, note: str = ""
) -> Comparison:
    """Lines of two answered metric queries, each read at its key."""
    count = "calls" if signals.by_calls(scope) else "requests"
    lines = [line(signal, results, keys) for signal in signals.compared(scope)]
    n_before, n_after = (int(result.value(count, key) or 0) for result, key in zip(results, keys, strict=True))
    shown = [line for line in lines if line.n_before or line.n_after or line.known]
    before, after = sides
    return Comparison(title, before, after, shown, n_before, n_after, count, note)


def line(signal: Signal, results: tuple[MetricResult, MetricResult], keys: tuple) -> Line:
    pairs = list(zip(results, keys, strict=True))
    before, after = (result.value(signal.metric, key) for result, key in pairs)
    n_before, n_after = (int(result.value(signal.n, key) or 0) if signal.n else 0 for result, key in pairs)
    return Line(signal, before, after, n_before, n_after)


# --- Two versions -------------------------------------------------------------------------------------------------
def chosen(scope: Scope, versions: Versions, asked: dict[str, str]) -> tuple[Version, Version] | None:
    """The two versions asked for, else the newest two of the busiest feature that has two; None without such."""
    names = versions.several
    if not names:
        return None
    wanted = "" if asked.get("of") == UNTAGGED else asked.get("of", "")
    feature = wanted if wanted in names else names[0]
    found = {version.name: version for version in versions.of(feature)}
    *_, before, after = found.values()
    pair = found.get(asked.get("a", ""), before), found.get(asked.get("b", ""), after)
    return pair if pair[0].name != pair[1].name else (before, after)


def of_versions(scope: Scope, by: str, before: Version, after: Version) -> Comparison:
    """One metric query over the scope's window, both versions side by side."""
    names = signals.metrics((*signals.compared(scope), Signal("requests", ""), Signal("calls", "")))
    filters = {"feature": (before.feature,), by: (before.name, after.name)}
    result = scope.query(names, group_by=(by,), filters=filters)
    title = f"{before.feature or UNTAGGED}: {after.name} against {before.name}"
    keys = ((before.name,), (after.name,))
    return compare(scope, title, (before.name, after.name), (result, result), keys)


# --- Around a change ----------------------------------------------------------------------------------------------
def around(scope: Scope, change: ChangeMarker, span: str, now) -> Comparison:
    """Two metric queries: as long before the change as has passed since, at most the span, on what it touched."""
    length = max(min(SPANS.get(span, SPANS[DEFAULT_SPAN]), now - change.at), MINUTE)
    touched = narrowed(scope, change)
    names = signals.metrics((*signals.compared(scope), Signal("requests", ""), Signal("calls", "")))
    filters = {"service": (change.service,)} if change.service and not change.feature else {}
    filters = {} if "tenant" in touched.filters else filters
    windows = touched.between(change.at - length, change.at), touched.between(change.at, change.at + length)
    results = tuple(window.query(names, filters=filters) for window in windows)
    text = formats.span_text(length)
    where = change.feature or (change.service if filters else "") or "all features"
    note = f"Of {where}, {text} before against {text} after."
    if length < DAY:
        note += " Less than a day on each side: the time of day differs too."
    return compare(scope, str(change), (f"{text} before", f"{text} after"), results, ((), ()), note)


def narrowed(scope: Scope, change: ChangeMarker) -> Scope:
    """The scope on the team, environment and feature the change names."""
    named = {name: (value,) for name in ("environment", "feature") if (value := getattr(change, name))}
    teams = (change.team,) if change.team else scope.teams
    return replace(scope, teams=teams, filters=scope.filters | named)
