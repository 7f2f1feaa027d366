"""The charts: answered, grounded, liked, fast and lean, on one time axis with the changes on it."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.utils import timezone

from aiops_site import formats
from aiops_site.charts import Chart, Series
from aiops_site.product import changes, links, signals
from aiops_site.product.rules import Value
from usage.metrics import MetricResult, kept_step
from usage.metrics.window import FIXED_STEPS
from usage.scope import Scope

METRICS = (
    "refusal_rate", "citation_coverage", "empty_retrieval_rate", "feedback_score", "feedback_count", "schema_validity",
    "tool_failure_rate", "ttft_p50", "ttft_p95", "tokens_per_call",
)  # fmt: skip
# Shares of few answers jump about: buckets are wide, so that a point speaks of enough of them.
STEPS = (
    (timedelta(hours=6), "5min"),
    (timedelta(days=2), "hour"),
    (timedelta(days=14), "6hour"),
)


class Trends:
    """The series of the scope and of the compared period, two metric queries."""

    def __init__(self, scope: Scope) -> None:
        self.scope, self.earlier = scope, scope.previous
        count = "call_error_rate" if signals.by_calls(scope) else "completion_rate"
        self.answered, self.metrics = count, (count, *METRICS)
        self.step = step_of(scope, timezone.now())
        self.now = scope.query(self.metrics, step=self.step)
        self.before = self._before()
        self.markers = changes.on_charts(scope)

    def _before(self) -> MetricResult | None:
        if not self.earlier:
            return None
        return self.earlier.query(self.metrics, step=kept_step(self.step, self.earlier.start, timezone.now()))

    def line(self, name: str, metric: str, **options) -> Series:
        return Series(name, self.now.points(metric), **options)

    def previous(self, metric: str) -> list[Series]:
        """The grey line of the compared period; none without one."""
        if not self.before:
            return []
        shift = self.now.start - self.before.start
        points = [(at + shift, value) for at, value in self.before.points(metric)]
        name = "period before" if self.scope.compare == "previous" else "a week earlier"
        return [Series(name, points, previous=True)]

    def chart(self, name: str, title: str, unit: str, series: list[Series], **options) -> Chart:
        return Chart(
            id=name,
            title=title,
            unit=unit,
            series=series,
            tz=self.scope.zone,
            start=self.scope.start,
            end=self.scope.end,
            step=FIXED_STEPS.get(self.step),
            markers=self.markers,
            drill_url=links.evidence(self.scope),
            **options,
        )

    def worst(self, metric: str, pick: Callable) -> tuple[Value, datetime] | None:
        """The extreme of a series and when; None without a figure."""
        known = [(value, at) for at, value in self.now.points(metric) if value is not None]
        return pick(known, key=lambda pair: pair[0]) if known else None

    def moment(self, at: datetime) -> str:
        local = at.astimezone(self.scope.zone)
        return f"{local:%-d %b}" if self.step in ("day", "week") else f"{local:%-d %b %H:%M}"


def step_of(scope: Scope, now: datetime) -> str:
    """The bucket width of these charts, which the roll-ups must still keep."""
    length = scope.end - scope.start
    return kept_step(next((step for limit, step in STEPS if length <= limit), scope.step), scope.start, now)


def read(scope: Scope) -> list[Chart]:
    """The charts, most asked first."""
    trends = Trends(scope)
    return [draw(trends) for draw in (answered, grounded, liked, first_token, sound, lean)]


def extreme(t: Trends, label: str, metric: str, pick: Callable, unit: str = "%") -> str:
    """ "Citation coverage: lowest 12 %, on 19 Nov 00:00"."""
    found = t.worst(metric, pick)
    if not found:
        return f"{label}: no figures"
    word = "lowest" if pick is min else "highest"
    return f"{label}: {word} {formats.figure(found[0], unit)}, on {t.moment(found[1])}"


def answered(t: Trends) -> Chart:
    failing = t.answered == "call_error_rate"
    title = extreme(t, "Failed model calls", t.answered, max) if failing else extreme(t, "Completion", t.answered, min)
    name = "failed" if failing else "completed"
    return t.chart("answered", title, "%", [t.line(name, t.answered), *t.previous(t.answered)])


def grounded(t: Trends) -> Chart:
    title = extreme(t, "Answers with a citation", "citation_coverage", min)
    lines = [t.line("with citation", "citation_coverage"), t.line("empty retrieval", "empty_retrieval_rate")]
    return t.chart("grounded", title, "%", [*lines, *t.previous("citation_coverage")], note="Grey: with citation")


def liked(t: Trends) -> Chart:
    """Thumbs beside refusals. The title counts thumbs, for they are few."""
    given = sum(value for _, value in t.now.points("feedback_count"))
    title = f"{formats.exact(given)} thumbs; {extreme(t, 'refusals', 'refusal_rate', max)}"
    lines = [t.line("thumbs up", "feedback_score"), t.line("refused", "refusal_rate")]
    return t.chart("liked", title, "%", [*lines, *t.previous("feedback_score")], note="Grey: thumbs up")


def first_token(t: Trends) -> Chart:
    title = extreme(t, "Time to first token p95", "ttft_p95", max, "ms")
    lines = [t.line("p50", "ttft_p50"), t.line("p95", "ttft_p95")]
    return t.chart("ttft", title, "ms", [*lines, *t.previous("ttft_p95")], log_y=True, note="Grey: p95")


def sound(t: Trends) -> Chart:
    title = extreme(t, "Tool failures", "tool_failure_rate", max)
    lines = [t.line("schema valid", "schema_validity"), t.line("tool failures", "tool_failure_rate")]
    return t.chart("sound", title, "%", [*lines, *t.previous("tool_failure_rate")], note="Grey: tool failures")


def lean(t: Trends) -> Chart:
    title = extreme(t, "Tokens per call", "tokens_per_call", max, "")
    return t.chart("lean", title, "tokens", [t.line("per call", "tokens_per_call"), *t.previous("tokens_per_call")])
