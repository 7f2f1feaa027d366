"""The figures that suggest a severity, read from the metric query."""

from decimal import Decimal
from typing import Any

from incidents.queries.slices import Slice
from incidents.rules.severity import LEAST_REQUESTS, Readings
from usage.metrics import MetricResult

FIGURES = ("requests", "errors", "error_rate", "latency_p95")
# Quality as the desk knows it without evaluations: each with how many answers it is a share of.
QUALITY = (
    ("citation_coverage", "Citation coverage", "citation_checks"),
    ("schema_validity", "Schema validity", "schema_checks"),
    ("feedback_score", "Thumbs up", "feedback_count"),
)
LEAST_CHECKS = 50


def readings(where: Slice) -> Readings:
    """What is so now in the slice, and usually: the same hours a week earlier. Three metric queries."""
    requests, errors, error_rate, latency = (where.metric(name) for name in FIGURES)
    names = (
        requests,
        error_rate,
        latency,
        "cost_per_hour",
        *(name for measure in QUALITY for name in (measure[0], measure[2])),
    )
    now, usual = where.query(names), where.usual.query(names)
    return Readings(
        noun=where.noun,
        requests=now.value(requests),
        failing=now.value(error_rate),
        usual_failing=usual.value(error_rate),
        worst_feature=_worst(where.query((requests, errors, error_rate), ("feature",))),
        p95_ratio=_ratio(now, usual, latency) if usual.value(requests) >= LEAST_REQUESTS else None,
        cost_ratio=_ratio(now, usual, "cost_per_hour"),
        quality_drop=_quality(now, usual),
    )


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _ratio(now: MetricResult, usual: MetricResult, name: str) -> Decimal | None:
    value, before = _decimal(now.value(name)), _decimal(usual.value(name))
    return value / before if value is not None and before else None


def _worst(by_feature: MetricResult) -> tuple[str, Decimal, int] | None:
    requests, errors, error_rate = by_feature.query.metrics
    rows = [row for row in by_feature.rows if row.key[0] and row.values[requests] >= LEAST_REQUESTS]
    worst = max(rows, key=lambda row: row.values[error_rate] or 0, default=None)
    if worst is None or not worst.values[errors]:
        return None
    return worst.key[0], worst.values[error_rate], worst.values[requests]


def _quality(now: MetricResult, usual: MetricResult) -> tuple[str, Decimal] | None:
    """The measure that fell most, of those with enough answers on both sides."""
    drops = []
    for name, label, checks in QUALITY:
        if min(now.value(checks), usual.value(checks)) >= LEAST_CHECKS and (ratio := _ratio(now, usual, name)):
            drops.append((label, 1 - ratio))
    return max(drops, key=lambda one: one[1], default=None)
