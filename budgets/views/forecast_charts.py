"""The two charts of a forecast: its period as a running sum with the cone ahead, and day by day."""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import dropwhile
from zoneinfo import ZoneInfo

from aiops_site import formats
from aiops_site.charts import Chart, Marker, Series, Threshold
from budgets.models import Forecast, PlannedEvent
from budgets.models.budgets import UNIT_LABELS
from budgets.queries.forecasts import Days, Points, day_end
from budgets.rules.outlook import Band
from budgets.views.shown import amount

WEEK = 7
# Bars stand in the middle of their moment.
HALF_A_BAR = timedelta(hours=12)


def course(one: Forecast, used: Days, events: list[PlannedEvent]) -> Chart:
    """The sum since the period began, what is expected on top with its intervals, and the limit."""
    unit, zone, spent = UNIT_LABELS[one.unit], ZoneInfo(one.time_zone), float(one.spent)
    begin = Band(0.0, 0.0, 0.0, 0.0, 0.0)
    ahead = [(one.made_at, begin), *((min(day_end(day.date, zone), one.period_end), day.total) for day in one.outlook)]
    return Chart(
        id="course",
        title=_course_title(one),
        unit=unit,
        series=[
            Series(
                "95 % interval", [(at, (spent + b.low95, spent + b.high95)) for at, b in ahead], "band", tone="accent"
            ),
            Series(
                "80 % interval", [(at, (spent + b.low80, spent + b.high80)) for at, b in ahead], "band", tone="accent"
            ),
            Series("Expected", [(at, spent + b.expected) for at, b in ahead], tone="accent", dash="dash"),
            Series("Used", _until(one, used), tone="accent"),
        ],
        tz=zone,
        start=one.period_start,
        end=one.period_end,
        thresholds=[Threshold(float(one.limit), f"limit {amount(one.limit, unit)}")] if one.limit else [],
        markers=_markers(events, zone),
        height="large",
    )


def _until(one: Forecast, used: Days) -> list[tuple[datetime, Decimal]]:
    """The running sum up to the moment the forecast was made, where the cone begins."""
    before = [point for point in used.running if point[0] < one.made_at]
    return [*before, (one.made_at, one.spent)] if before else []


def _course_title(one: Forecast) -> str:
    said = f"{amount(one.expected, UNIT_LABELS[one.unit])} expected by {last_day(one):%-d %B}"
    return f"{said}, {formats.percent(one.share)} of the limit" if one.share is not None else said


def last_day(one: Forecast) -> datetime:
    """The last day of the period, in its zone."""
    return (one.period_end - timedelta(seconds=1)).astimezone(ZoneInfo(one.time_zone))


def by_day(one: Forecast, used: Days, events: list[PlannedEvent]) -> Chart:
    """Each day of the last weeks and each whole day ahead, with its interval."""
    unit, zone = UNIT_LABELS[one.unit], ZoneInfo(one.time_zone)
    ahead = [(day_end(day.date - timedelta(days=1), zone), day.day) for day in one.outlook[1:]]
    each = list(dropwhile(lambda point: not point[1], used.each))
    return Chart(
        id="by-day",
        title=_day_title(each, ahead, unit),
        unit=unit,
        series=[
            Series("80 % interval", [(at, (band.low80, band.high80)) for at, band in ahead], "band", tone="accent"),
            Series("Used", each, "bar", tone="accent"),
            Series("Expected", [(at, band.expected) for at, band in ahead], "bar", tone="muted"),
        ],
        tz=zone,
        step="day",
        start=each[0][0] - HALF_A_BAR if each else None,
        end=one.period_end,
        markers=_markers(events, zone),
        height="medium",
        note="Today's bar is what was used so far.",
    )


def _day_title(each: Points, ahead: list[tuple[datetime, Band]], unit: str) -> str:
    whole = [value for _, value in each[:-1] if value is not None][-WEEK:]
    before = amount(sum(whole), unit)
    if not ahead:
        return f"{before} in the last {len(whole)} days"
    next_days = ahead[:WEEK]
    after = amount(sum(band.expected for _, band in next_days), unit)
    when = f"in the {len(next_days)} days after today" if len(next_days) > 1 else "tomorrow"
    return f"{before} in the last {len(whole)} days, {after} expected {when}"


def _markers(events: list[PlannedEvent], zone: ZoneInfo) -> list[Marker]:
    return [Marker(day_end(one.starts_on - timedelta(days=1), zone), f"{one.name} {one.change_text}") for one in events]
