"""Alert rules and their figures as pages show them."""

from datetime import datetime, timedelta, tzinfo
from decimal import Decimal

from aiops_site.charts import Chart, Marker, Series, Threshold
from aiops_site.formats import long_duration
from incidents.models import Alert, AlertRule
from incidents.queries.backtests import Backtest, Drawn, Tried
from incidents.queries.history import Grid, slide
from incidents.queries.readings import HOUR
from incidents.rules.measured import measured, terms
from incidents.rules.words import TIMES, condition, figure, labelled
from incidents.sources import source_of
from usage import partitions
from usage.metrics import QueryError

# Units of figures as charts write them.
CHART_UNITS = {"ratio": "%", "count": "", "s": "seconds", TIMES: "× usual"}
BURNS = "times the budget's pace"
MOST_POINTS, MOST_MARKERS = 750, 20


def sentence(rule: AlertRule) -> str:
    """What the rule asks, in words."""
    if rule.kind in ("budget", "anomaly"):
        return _answered(rule)
    if rule.kind == "canary":
        failures = 2 if rule.threshold is None else int(rule.threshold) + 1
        times = {1: "once", 2: "twice in a row"}.get(failures, f"{failures} times in a row")
        return f"One synthetic check fails {times}" if rule.options.get("check") else f"A synthetic check fails {times}"
    what, asked = measured(rule), terms(rule)
    window = 0 if rule.kind == "desk" else rule.window_seconds
    if rule.kind == "no_data":
        return f"No request over {figure(Decimal(rule.window_seconds), 's')} where {rule.min_events} are usual"
    text = condition(what.name, asked.above, asked.threshold, what.unit, window, rule.for_seconds)
    short = rule.options.get("short_seconds") if rule.kind == "burn_rate" else None
    return f"{text}, and over the last {long_duration(int(short))}" if short else text


def _answered(rule: AlertRule) -> str:
    source = source_of(str(rule.options.get("source", "")))
    if source is None:
        return "Its source is not known"
    about = f", {source.metrics[rule.metric].lower()}" if rule.metric in source.metrics else ""
    of = "".join(f", {name} {' or '.join(values)}" for name, values in rule.filters.items())
    one = ", of one budget" if rule.options.get("budget") else ""
    when = rule.options.get("when")
    return f"{source.name}{about}{of}{one}{f', found as {when}' if when else ''}"


def backtest_chart(rule: AlertRule, result: Backtest, tz: tzinfo) -> Chart | None:
    """The label set that fired most, or had most figures, with the times it would have fired drawn over it."""
    shown = max(result.sets, key=lambda one: (len(one.spans), _known(one)), default=None)
    if shown is None or not _known(shown):
        return None
    drawn = result.drawn or Drawn(measured(rule).unit, terms(rule).threshold, terms(rule).above)
    points = _coarser(list(shown.points.items()), drawn.above)
    firing = [(at, value if _within(shown, at) else None) for at, value in points]
    name = ", ".join(part for part in (shown.team, labelled(shown.labels)) if part)
    times = len(shown.spans)
    series = [Series(name, points, key=name)]
    if times:
        series.append(Series("would have fired", firing, tone="bad"))
    limits = [] if drawn.threshold is None else [drawn.threshold]
    return Chart(
        id="backtest",
        title=f"{name}: would have fired {'once' if times == 1 else f'{times} times'}",
        unit=BURNS if rule.kind == "burn_rate" else CHART_UNITS.get(drawn.unit, drawn.unit),
        series=series,
        tz=tz,
        start=result.start,
        end=result.end,
        thresholds=[Threshold(limit, f"threshold {figure(limit, drawn.unit)}") for limit in limits],
        # So many rules would hide the figure; what is drawn in red says it too.
        markers=[Marker(span.start, "fires") for span in shown.spans if times <= MOST_MARKERS],
    )


def _known(one: Tried) -> int:
    return sum(value is not None for value in one.points.values())


def _within(one: Tried, at: datetime) -> bool:
    return any(span.start <= at and (span.end is None or at <= span.end) for span in one.spans)


def _coarser(points: list[tuple[datetime, Decimal | None]], above: bool) -> list[tuple[datetime, Decimal | None]]:
    """At most MOST_POINTS, each the worst of its stretch."""
    width = -(-len(points) // MOST_POINTS)
    worst = max if above else min
    stretches = [points[first : first + width] for first in range(0, len(points), width or 1)]
    return [(part[-1][0], worst((value for _, value in part if value is not None), default=None)) for part in stretches]


def alert_chart(alert: Alert, now: datetime, tz: tzinfo) -> Chart | None:
    """The figure of an alert's rule around it, against the threshold; None where its rule measures none."""
    rule = alert.rule
    if rule is None or rule.kind != "threshold" or alert.team is None:
        return None
    window = timedelta(seconds=rule.window_seconds)
    start = max(alert.started_at - max(6 * window, 3 * HOUR), partitions.minute_horizon(now) + HOUR)
    end = min(now, (alert.resolved_at or now) + max(2 * window, HOUR))
    if end - start > timedelta(days=6):
        end = start + timedelta(days=6)
    if end <= start:
        return None
    points = _points(alert, rule, start, end, now)
    if not points:
        return None
    what, asked = measured(rule), terms(rule)
    marks = [Marker(alert.started_at, "since")] + ([Marker(alert.resolved_at, "over")] if alert.resolved_at else [])
    return Chart(
        id="alert",
        title=f"{what.name} {'above' if asked.above else 'below'} {figure(asked.threshold, what.unit)}",
        unit=CHART_UNITS.get(what.unit, what.unit),
        series=[Series(labelled(alert.labels) or alert.team.name, points, key=alert.team.name)],
        tz=tz,
        start=start,
        end=end,
        thresholds=[Threshold(asked.threshold, f"threshold {figure(asked.threshold, what.unit)}")],
        markers=marks,
    )


def _points(
    alert: Alert, rule: AlertRule, start: datetime, end: datetime, now: datetime
) -> list[tuple[datetime, Decimal | None]]:
    step, length = ("minute", 60) if rule.window_seconds < 300 else ("5min", 300)
    first = start.replace(minute=0, second=0, microsecond=0)
    last = end + (-(end - first) % timedelta(seconds=length))  # with the step that runs
    grid = Grid(step, first, last, max(1, rule.window_seconds // length))
    group = (alert.team.slug if alert.team else "", *(alert.labels.get(name, "") for name in rule.breakdown))
    try:
        found = slide(rule, grid, (alert.team_id,) if alert.team_id else (), now)
    except QueryError:
        return []
    return [(at, value) for at, (value, _) in found[group].points.items()] if group in found else []
