"""The charts: failing or slow, saturated, and what it costs, on one time axis."""

from datetime import datetime, timedelta
from statistics import median

from aiops_site import formats
from aiops_site.charts import Chart, Marker, Series, Threshold
from aiops_site.incident import links, markers, rules
from aiops_site.incident.rules import Value
from aiops_site.incident.situation import Situation
from usage.metrics import MetricResult
from usage.metrics.window import FIXED_STEPS
from usage.scope import Scope

METRICS = (
    "latency_p50", "latency_p95", "latency_p99", "error_rate", "queue_p95", "rate_limited_rate", "retry_rate",
    "fallback_rate", "requests_per_minute", "tokens_per_minute", "concurrency", "cost_per_hour", "unpriced_calls",
)  # fmt: skip
PREVIOUS = (
    "latency_p95",
    "error_rate",
    "queue_p95",
    "requests_per_minute",
    "tokens_per_minute",
    "concurrency",
    "cost_per_hour",
)
WEEKS = 3  # the same hours of so many earlier weeks make the expected range of spend
STAGES = 5
FLAT = 1.15  # a change below 15 % is not worth a title


class Trends:
    """The series of a scope beside those of a week earlier (or of the period chosen to compare with)."""

    def __init__(self, situation: Situation) -> None:
        self.scope = scope = situation.scope
        self.earlier = scope.previous or scope.shifted("week")
        self.shift = scope.start - self.earlier.start
        self.word = "period before" if scope.compare == "previous" else "week earlier"
        self.now = scope.query(METRICS, step=scope.step)
        self.before = self.earlier.query(PREVIOUS, step=scope.step)
        self.totals = scope.query(METRICS)
        self.totals_before = self.earlier.query(PREVIOUS)
        self.rules: list[Marker] = markers.on_charts(scope)

    @property
    def step(self) -> timedelta | None:
        return FIXED_STEPS.get(self.scope.step)

    def line(
        self, name: str, metric: str, result: MetricResult | None = None, key: tuple[str, ...] = (), **options
    ) -> Series:
        return Series(name, (result or self.now).points(metric, key), **options)

    def previous(self, metric: str) -> Series:
        points = [(at + self.shift, value) for at, value in self.before.points(metric)]
        return Series(self.word, points, previous=True)

    def chart(self, name: str, title: str, unit: str, series: list[Series], **options) -> Chart:
        scope = self.scope
        return Chart(
            id=name, title=title, unit=unit, series=series, tz=scope.zone, start=scope.start, end=scope.end,
            step=self.step, markers=self.rules, drill_url=links.evidence(scope, **options.pop("drill", {})), **options,
        )  # fmt: skip

    def compared(self, metric: str, label: str, unit: str) -> str:
        """A title that says what happened to a metric over the window: "p95 latency 4.2 s, up from 2.1 s"."""
        now, before = self.totals.value(metric), self.totals_before.value(metric)
        text = f"{label} {formats.figure(now, unit)}"
        if now is None:
            return f"{label}: no figures"
        if not before:
            return text
        ratio = float(now) / float(before)
        if 1 / FLAT < ratio < FLAT:
            return f"{text}, as a {self.word}" if self.word.startswith("week") else f"{text}, as before"
        return f"{text}, {'up' if ratio > 1 else 'down'} from {formats.figure(before, unit)} a {self.word}"


def read(situation: Situation) -> list[Chart]:
    """Seven metric queries beside the markers: the series, the totals, the stages and the weeks before for spend."""
    trends = Trends(situation)
    return [
        failing(trends), rates(trends), latency(trends), queue(trends), stages(trends), load(trends), cost(trends),
        tokens(trends),
    ]  # fmt: skip


def failing(t: Trends) -> Chart:
    return t.chart(
        "failing", f"{peak_title(t)}", "%",
        [t.line("failing", "error_rate", tone="bad"), t.previous("error_rate")],
        thresholds=[Threshold(rules.BY_METRIC["error_rate"].bad, "5 %")], drill={"status": "error"},
    )  # fmt: skip


def peak_title(t: Trends) -> str:
    """ "12 % of requests failed at 11:35, at the worst"."""
    known = [(value, at) for at, value in t.now.points("error_rate") if value is not None]
    if not known:
        return "Failed requests: no traffic"
    worst, at = max(known, key=lambda pair: pair[0])
    total = formats.percent(t.totals.value("error_rate"))
    if not worst:
        return "No request failed"
    return f"{total} of requests failed; {formats.percent(worst)} at {clock(at, t.scope)}"


def clock(at: datetime, scope: Scope) -> str:
    local = at.astimezone(scope.zone)
    return f"{local:%H:%M}" if scope.end - scope.start <= timedelta(days=1) else f"{local:%-d %b %H:%M}"


def latency(t: Trends) -> Chart:
    return t.chart(
        "latency", t.compared("latency_p95", "p95 latency", "ms"), "ms",
        [t.line(f"p{n}", f"latency_p{n}") for n in (50, 95, 99)] + [t.previous("latency_p95")],
        log_y=True, note=f"Requests from end to end; grey is p95 a {t.word}",
        thresholds=[Threshold(rules.BY_METRIC["latency_p95"].bad, "5 s")],
    )  # fmt: skip


def stages(t: Trends) -> Chart:
    """p95 of the slowest stages."""
    result = t.scope.query(("stage_latency_p95", "events"), step=t.scope.step, group_by=("operation",))
    slowest = sorted(result.keys, key=lambda key: _typical(result, key), reverse=True)[:STAGES]
    title = f"{slowest[0][0] or 'unnamed stage'} is the slowest stage" if slowest else "Stages: no figures"
    return t.chart(
        "stages", title, "ms",
        [t.line(key[0] or "(none)", "stage_latency_p95", result, key) for key in slowest],
        log_y=True, note="p95 of each stage",
    )  # fmt: skip


def _typical(result: MetricResult, key: tuple[str, ...]) -> float:
    known = [value for _, value in result.points("stage_latency_p95", key) if value is not None]
    return median(known) if known else 0.0


def rates(t: Trends) -> Chart:
    """What retries, rate limits and fallbacks there are: the marks of a saturated or failing provider."""
    shown = {"429": "rate_limited_rate", "retried": "retry_rate", "fallback": "fallback_rate"}
    said = ", ".join(f"{name} {formats.percent(t.totals.value(metric))}" for name, metric in shown.items())
    title = f"Of model calls: {said}" if t.totals.value("retry_rate") is not None else "Model calls: none"
    return t.chart("rates", title, "%", [t.line(name, metric) for name, metric in shown.items()],
                   thresholds=[Threshold(rules.BY_METRIC["rate_limited_rate"].bad, "429: 2 %")])  # fmt: skip


def queue(t: Trends) -> Chart:
    return t.chart(
        "queue", t.compared("queue_p95", "Queue wait p95", "ms"), "ms",
        [t.line("queue wait p95", "queue_p95"), t.previous("queue_p95")], log_y=True,
        note=f"{figure(t.totals.value('concurrency'))} requests in flight on average"
        + (f", {figure(t.totals_before.value('concurrency'))} a {t.word}" if t.totals_before.value("concurrency") else ""),
    )  # fmt: skip


def figure(value: Value) -> str:
    return formats.compact(value)


def load(t: Trends) -> Chart:
    return t.chart(
        "load", t.compared("requests_per_minute", "Requests", "/min"), "requests/min",
        [t.line("requests", "requests_per_minute"), t.previous("requests_per_minute")],
        note="No provider limit is known to the desk, so there is no share of quota to show",
    )  # fmt: skip


def tokens(t: Trends) -> Chart:
    return t.chart(
        "tokens", t.compared("tokens_per_minute", "Tokens", "/min"), "tokens/min",
        [t.line("tokens", "tokens_per_minute"), t.previous("tokens_per_minute")],
    )  # fmt: skip


# --- Spend against what is expected -------------------------------------------------------------------------------
def cost(t: Trends) -> Chart:
    """Spend per hour over the range of the same hours of earlier weeks."""
    band = expected(t.scope)
    unpriced = t.totals.value("unpriced_calls")
    ranges = [pair for _, pair in band if pair]
    said = (
        f", expected {formats.money(min(low for low, _ in ranges))}–{formats.money(max(high for _, high in ranges))}"
        if ranges
        else ""
    )
    title = f"Spend {formats.figure(t.totals.value('cost_per_hour'), 'USD/h')}{said}"
    note = (
        f"Expected: the same hours of {WEEKS} weeks before" if ranges else "No spend in the same hours of earlier weeks"
    )
    return t.chart(
        "cost", title, "USD/h",
        [*([Series("expected", band, kind="band", key="other")] if ranges else []), t.line("spend", "cost_per_hour", key="spend")],
        note=f"{note}; {formats.exact(unpriced)} calls without a price are not in it" if unpriced else note,
    )  # fmt: skip


def expected(scope: Scope) -> list[tuple[datetime, tuple[Value, Value] | None]]:
    """(start, (low, high)) of each hour or day: the least and most spent per hour in the earlier weeks."""
    step = "hour" if scope.end - scope.start <= timedelta(days=8) else "day"
    weeks = -(-(scope.end - scope.start) // timedelta(weeks=1))
    seen: dict[datetime, list[Value]] = {}
    for number in range(1, WEEKS + 1):
        shift = timedelta(weeks=weeks * number)
        result = scope.between(scope.start - shift, scope.end - shift).query(("cost_per_hour", "events"), step=step)
        for row in result.rows:
            if row.values["events"] and row.values["cost_per_hour"] is not None:
                seen.setdefault(row.at + shift, []).append(row.values["cost_per_hour"])
    return [(at, (min(values), max(values))) for at, values in sorted(seen.items())]
