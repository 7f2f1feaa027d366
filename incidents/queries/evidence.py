"""A chart frozen with its data: read once from the metric query, kept as it was then, drawn from what was kept."""

from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from django.utils import timezone

from aiops_site.charts import Chart, Series
from incidents.queries.slices import Slice
from usage.metrics import CATALOGUE, kept_step
from usage.scope import UNTAGGED

MOST_LINES = 8
STEPS = (
    (timedelta(hours=3), "minute"),
    (timedelta(hours=12), "5min"),
    (timedelta(days=8), "hour"),
    (timedelta(days=200), "day"),
)
UNITS = {"ratio": "%", "count": "requests"}


def freeze(where: Slice, metric: str, breakdown: str, now: datetime) -> dict[str, Any]:
    """JSON-able: the question, the moment and the points; values as texts, so that money stays exact.

    Of a breakdown the largest values. Raises QueryError for what the roll-ups cannot answer.
    """
    fitting = next((step for limit, step in STEPS if where.length <= limit), "week")
    result = where.query((metric,), (breakdown,) if breakdown else (), kept_step(fitting, where.start, now))
    keys = sorted(result.keys, key=lambda key: _weight(result.points(metric, key)), reverse=True)[:MOST_LINES] or [()]
    return {
        "metric": metric,
        "label": CATALOGUE[metric].label,
        "unit": UNITS.get(CATALOGUE[metric].unit, CATALOGUE[metric].unit),
        "breakdown": breakdown,
        "filters": {name: list(values) for name, values in where.filters.items()},
        "start": result.start.isoformat(),
        "end": result.end.isoformat(),
        "step": result.query.step,
        "taken_at": now.isoformat(),
        "series": [
            {"name": (key[0] or UNTAGGED) if key else CATALOGUE[metric].label, "points": _texts(result, metric, key)}
            for key in keys
        ],
    }


def _weight(points: list[tuple[datetime, Any]]) -> Decimal:
    return sum((Decimal(str(value)) for _, value in points if value is not None), Decimal(0))


def _texts(result: Any, metric: str, key: tuple[str, ...]) -> list[list[str | None]]:
    return [[at.isoformat(), None if value is None else str(value)] for at, value in result.points(metric, key)]


def chart_of(pk: int, title: str, frozen: dict[str, Any], zone: tzinfo) -> Chart:
    """The chart of a timeline entry, from what was kept."""
    series = [
        Series(one["name"], [(datetime.fromisoformat(at), _number(value)) for at, value in one["points"]])
        for one in frozen["series"]
    ]
    taken = timezone.localtime(datetime.fromisoformat(frozen["taken_at"]), zone)
    return Chart(
        f"evidence-{pk}",
        title,
        frozen["unit"],
        series,
        tz=zone,
        step=frozen["step"],
        start=datetime.fromisoformat(frozen["start"]),
        end=datetime.fromisoformat(frozen["end"]),
        note=f"Frozen {taken:%-d %b %Y %H:%M} with its data: later events do not change it.",
    )


def _number(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)
