"""The charts: failing or slow, saturated, and what it costs, on one time axis."""

from datetime import datetime, timedelta
from statistics import median

from django.utils import timezone

from aiops_site import formats
from aiops_site.charts import Chart, Series, Threshold
from aiops_site.incident import links, markers, population, rules, steps
from aiops_site.incident.rules import Value
from usage.metrics import MetricResult, kept_step
from usage.metrics.window import FIXED_STEPS
from usage.queries.history import known_since
from usage.scope import Scope

BOTH = ("latency_p95", "error_rate", "queue_p95", "concurrency", "tokens_per_minute", "cost_per_hour", "requests")
NOW = (*BOTH, "latency_p50", "latency_p99", "rate_limited_rate", "retry_rate", "fallback_rate", "unpriced_calls")
WEEKS = 3  # the same hours of so many earlier weeks make the expected range of spend
STAGES = 5
FLAT = 1.15  # a change below 15 % is not worth a title


class Trends:
    """The series of a scope beside those of a week earlier (or of the period chosen to compare with)."""

    def __init__(self, scope: Scope) -> None:
        now, earlier = timezone.now(), scope.previous or scope.shifted("week")
        self.scope, self.population = scope, population.of(scope)
        self.total = population.figures(scope, NOW)
        self.history = known_since(scope.team_ids)
        self.total_before = population.figures(earlier.since(self.history), BOTH)
        step = steps.readable(scope.step, scope.end - scope.start, self.total["requests"])
        self.step = kept_step(step, scope.start, now)
        self.shift = scope.start - earlier.start
        self.word = "in the period before" if scope.compare == "previous" else "a week earlier"
        self.now = scope.query(self._metrics(NOW), step=self.step)
        self.before = earlier.query(self._metrics(BOTH), step=kept_step(self.step, earlier.start, now))
        self.markers = markers.on_charts(scope)

    def _metrics(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.population.metric(name) for name in names))

    def line(self, name: str, metric: str, **options) -> Series:
        return Series(name, self.now.points(self.population.metric(metric)), **options)

    def previous(self, metric: str) -> Series:
        points = self.before.points(self.population.metric(metric))
        known = [(at + self.shift, value if self.history and at >= self.history else None) for at, value in points]
        return Series(self.word.removeprefix("in the "), known, previous=True)

    def chart(
        self, name: str, title: str, unit: str, series: list[Series], drill: dict | None = None, **options
    ) -> Chart:
        scope = self.scope
        return Chart(
            id=name,
            title=title,
            unit=unit,
            series=series,
            tz=scope.zone,
            start=scope.start,
            end=scope.end,
            step=FIXED_STEPS.get(self.step),
            markers=self.markers,
            drill_url=links.evidence(scope, **(drill or {})),
            **options,
        )

    def compared(self, metric: str, label: str, unit: str) -> str:
        """A title that says what a figure did: "p95 latency 4.2 s, up from 2.1 s a week earlier"."""
        now, before = self.total[metric], self.total_before[metric]
        if now is None:
            return f"{label}: no figures"
        text = f"{label} {formats.figure(now, unit)}"
        if not before:
            return text
        ratio = float(now) / float(before)
        if 1 / FLAT < ratio < FLAT:
            return f"{text}, as {self.word}"
        return f"{text}, {'up' if ratio > 1 else 'down'} from {formats.figure(before, unit)} {self.word}"


def read(scope: Scope) -> list[Chart]:
    """Eight metric queries beside the markers: series and totals, each twice, stages, and three weeks of spend."""
    trends = Trends(scope)
    drawn = (failing, rates, latency, queue, stages, load, tokens, cost)
    return [draw(trends) for draw in drawn]


def failing(t: Trends) -> Chart:
    """Failed requests by requests, with the limit that pages someone."""
    return t.chart(
        "failing",
        peak_title(t),
        "%",
        [t.line("failing", "error_rate", tone="bad"), t.previous("error_rate")],
        thresholds=[Threshold(rules.BY_METRIC["error_rate"].bad, "5 %")],
        drill={"status": "error"},
    )


def peak_title(t: Trends) -> str:
    """ "3.6 % of requests failed; 36 % at 11:35"."""
    known = [(value, at) for at, value in t.now.points(t.population.metric("error_rate")) if value is not None]
    if not known:
        return f"Failed {t.population.noun}: no traffic"
    worst, at = max(known, key=lambda pair: pair[0])
    if not worst:
        return f"None of the {t.population.noun} failed"
    total = formats.percent(t.total["error_rate"])
    return f"{total} of {t.population.noun} failed; at the worst {formats.percent(worst)}, at {clock(at, t.scope)}"


def clock(at: datetime, scope: Scope) -> str:
    local = at.astimezone(scope.zone)
    return f"{local:%H:%M}" if scope.end - scope.start <= timedelta(days=1) else f"{local:%-d %b %H:%M}"


def latency(t: Trends) -> Chart:
    return t.chart(
        "latency",
        t.compared("latency_p95", "p95 latency", "ms"),
        "ms",
        [*(t.line(f"p{n}", f"latency_p{n}") for n in (50, 95, 99)), t.previous("latency_p95")],
        log_y=True,
        note=f"{t.population.noun.capitalize()} from end to end; grey is p95 {t.word}",
        thresholds=[Threshold(rules.BY_METRIC["latency_p95"].bad, "5 s")],
    )


def stages(t: Trends) -> Chart:
    """p95 of the slowest stages."""
    result = t.scope.query(("stage_latency_p95",), step=t.step, group_by=("operation",))
    slowest = sorted(result.keys, key=lambda key: _typical(result, key), reverse=True)[:STAGES]
    lines = [Series(key[0] or "(none)", result.points("stage_latency_p95", key)) for key in slowest]
    title = f"{lines[0].name} is the slowest stage" if lines else "Stages: no figures"
    return t.chart("stages", title, "ms", lines, log_y=True, note="p95 of each stage")


def _typical(result: MetricResult, key: tuple[str, ...]) -> float:
    known = [value for _, value in result.points("stage_latency_p95", key) if value is not None]
    return median(known) if known else 0.0


def rates(t: Trends) -> Chart:
    """What retries, rate limits and fallbacks there are: the marks of a saturated or failing provider."""
    shown = {"429": "rate_limited_rate", "retried": "retry_rate", "fallback": "fallback_rate"}
    said = ", ".join(f"{name} {formats.percent(t.total[metric])}" for name, metric in shown.items())
    return t.chart(
        "rates",
        f"Of model calls: {said}" if t.total["retry_rate"] is not None else "No model calls",
        "%",
        [t.line(name, metric) for name, metric in shown.items()],
        note="The dashed line is the limit for 429s, 2 %",
        thresholds=[Threshold(rules.BY_METRIC["rate_limited_rate"].bad, "")],
        drill={"error_type": "rate_limit"},
    )


def queue(t: Trends) -> Chart:
    """Queue wait, with the concurrency of the window as its note."""
    note = f"{formats.compact(t.total['concurrency'])} requests in flight on average"
    if t.total_before["concurrency"]:
        note += f", {formats.compact(t.total_before['concurrency'])} {t.word}"
    lines = [t.line("queue wait p95", "queue_p95"), t.previous("queue_p95")]
    return t.chart("queue", t.compared("queue_p95", "Queue wait p95", "ms"), "ms", lines, log_y=True, note=note)


def load(t: Trends) -> Chart:
    """Requests in each bucket."""
    noun = t.population.noun
    return t.chart(
        "load",
        t.compared("requests", noun.capitalize(), ""),
        "calls" if t.population.calls else "requests",
        [t.line(noun, "requests"), t.previous("requests")],
        note=f"Each point is {formats.span_text(width)}" if (width := FIXED_STEPS.get(t.step)) else f"By {t.step}",
    )


def tokens(t: Trends) -> Chart:
    lines = [t.line("tokens", "tokens_per_minute"), t.previous("tokens_per_minute")]
    return t.chart("tokens", t.compared("tokens_per_minute", "Tokens", "/min"), "tokens/min", lines)


# --- Spend against what is expected -------------------------------------------------------------------------------
def cost(t: Trends) -> Chart:
    """Spend per hour over the range of the same hours of earlier weeks."""
    band = expected(t.scope)
    note = (
        f"Expected is the range of the same hours of {WEEKS} weeks"
        if band
        else "No spend in earlier weeks to expect from"
    )
    if unpriced := t.total["unpriced_calls"]:
        note += f"; {formats.exact(unpriced)} calls without a price are not in it"
    lines = [Series("expected", band, kind="band", key="other")] if band else []
    title = f"Spend {formats.figure(t.total['cost_per_hour'], 'USD/h')}{_range(band)}"
    return t.chart("cost", title, "USD/h", [*lines, t.line("spend", "cost_per_hour", key="spend")], note=note)


def _range(band: list[tuple[datetime, tuple[Value, Value]]]) -> str:
    if not band:
        return ""
    low, high = min(pair[0] for _, pair in band), max(pair[1] for _, pair in band)
    return f", expected {formats.money(low)} to {formats.money(high)}"


def expected(scope: Scope) -> list[tuple[datetime, tuple[Value, Value]]]:
    """(start, (low, high)) of each hour or day: the least and most spent per hour in the earlier weeks."""
    step = "hour" if scope.end - scope.start <= timedelta(days=8) else "day"
    weeks = -(-(scope.end - scope.start) // timedelta(weeks=1))
    seen: dict[datetime, list[Value]] = {}
    for number in range(1, WEEKS + 1):
        shift = timedelta(weeks=weeks * number)
        earlier = scope.between(scope.start - shift, scope.end - shift)
        result = earlier.query(("cost_per_hour",), step=kept_step(step, earlier.start, timezone.now()))
        for row in result.rows:
            if row.at and row.values["cost_per_hour"] is not None:
                seen.setdefault(row.at + shift, []).append(row.values["cost_per_hour"])
    return [(at, (min(values), max(values))) for at, values in sorted(seen.items())]
