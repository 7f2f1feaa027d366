"""SLOs in words and charts."""

from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from zoneinfo import ZoneInfo

from aiops_site import formats
from aiops_site.charts import Chart, Series, Threshold
from incidents.models import Slo
from incidents.queries.slo_evidence import budget_by_time, burn_by_hour
from incidents.queries.slos import Attainment
from incidents.rules.slos import lasts

NOUNS = {"success": "requests", "latency": "requests", "quality": "checks", "spend": "hours"}


def noun(slo: Slo) -> str:
    """What its units are called."""
    return "calls" if slo.counts_calls and slo.indicator in ("success", "latency") else NOUNS[slo.indicator]


def promise(slo: Slo) -> str:
    """E.g. "99 % of requests answered", "95 % of answers within 2 s"."""
    return f"{target_text(slo.target)} of {_what(slo)}"


def target_text(target: Decimal) -> str:
    """All digits of a target: 99.95 %."""
    return f"{formats.plain(target * 100)} %"


def _what(slo: Slo) -> str:
    limit = slo.limit or Decimal(0)
    checks = [label.lower() for value, label in Slo.Check.choices if value in slo.checks]
    return {
        "success": f"{noun(slo)} answered",
        "latency": f"answers within {formats.duration(limit)}",
        "quality": f"checks passed: {', '.join(checks)}" if checks else "quality checks passed",
        "spend": f"hours at no more than {formats.money(limit)} per {slo.per}",
    }[slo.indicator]


def attained_text(share: Decimal | None) -> str:
    """Two decimals, rounded down: what missed its target never reads as if it had met it."""
    if share is None:
        return "–"
    return f"{(share * 100).quantize(Decimal('0.01'), ROUND_FLOOR):f} %"


def budget_text(one: Attainment) -> str:
    """The error budget in units: "312 of 400 failed requests that are allowed"; "" where nothing was counted."""
    if not one.tally.total:
        return ""
    allowed = int((1 - one.slo.target) * one.tally.total)
    return f"{formats.exact(one.tally.bad)} bad of {formats.counted(allowed, noun(one.slo))} allowed"


def lasts_text(one: Attainment) -> str:
    """How long the budget lasts at the last hour's rate."""
    rest = lasts(one.left, one.now.burn_rate, one.slo.window)
    if rest is None:
        return "overspent" if one.left is not None and one.left < 0 else ""
    return f"gone in {formats.span_text(rest)} at this rate"


def rate_text(rate: Decimal | None) -> str:
    """A burn rate: 0×, 0.4×, 14×."""
    return "–" if rate is None else f"{formats.compact(rate.quantize(Decimal('0.01')))}×"


def summary(found: list[Attainment]) -> str:
    """The page's answer in a sentence."""
    judged = [one for one in found if one.left is not None]
    if not judged:
        return "No objective has any traffic to judge yet."
    missed = [one.slo.name for one in judged if one.left < 0]
    kept = f"{len(judged) - len(missed)} of {formats.counted(len(judged), 'objectives')} kept."
    return f"{kept} Missed: {', '.join(missed[:3])}{' and more' if len(missed) > 3 else ''}." if missed else kept


def burn_chart(slo: Slo, at: datetime, zone: ZoneInfo) -> Chart:
    """The burn rate by hour of the last days."""
    points = burn_by_hour(slo, at)
    fastest = max(((rate, hour) for hour, rate in points if rate is not None), default=None)
    title = "No requests to judge in these days"
    if fastest:
        hour = fastest[1].astimezone(zone)
        title = f"Fastest burn: {rate_text(fastest[0])} in the hour of {hour:%-d %B %H:%M}"
    return Chart(
        id="burn",
        title=title,
        unit="times the budget's pace",
        series=[Series("Burn rate", points, kind="bar", tone="bad")],
        tz=zone,
        start=points[0][0],
        end=at,
        step="hour",
        thresholds=[Threshold(1, "1×")],
        note="By hour. At 1× the budget lasts exactly the window.",
    )


def budget_chart(one: Attainment, at: datetime, zone: ZoneInfo) -> Chart:
    """What was left of the budget through the window that ends now."""
    points = budget_by_time(one.slo, at)
    left = one.left
    title = "Nothing was counted in this window"
    if left is not None:
        gone = next((step for step, value in points if value is not None and value < 0), None)
        title = f"{formats.percent(left)} of the error budget is left"
        if left < 0:
            since = f"; used up on {gone.astimezone(zone):%-d %B}" if gone else ""
            title = f"The error budget is overspent by {formats.percent(-left)}{since}"
    return Chart(
        id="budget",
        title=title,
        unit="%",
        series=[Series("Budget left", points, kind="line")],
        tz=zone,
        start=points[0][0],
        end=at,
        step=points[1][0] - points[0][0] if len(points) > 1 else timedelta(hours=1),
        thresholds=[Threshold(0, "used up")],
        note=f"Over the {one.slo.window_days} days that end now; what falls out of the window gives its budget back.",
    )
