"""What this room finds by itself, for the rules that answer for it."""

from budgets.anomalies.keep import ALERT as ANOMALY
from budgets.automation import SOURCE as BUDGET
from budgets.forecasting.keep import ALERT as FORECAST
from budgets.models.anomalies import WATCHED_WORDS
from budgets.queries import past_anomalies, past_thresholds
from incidents.sources import Source, register


def register_all() -> None:
    """Make anomalies, thresholds and forecasts of budgets known to alert rules."""
    register(
        Source(
            key=ANOMALY,
            kind="anomaly",
            name="Anomalies of spend and use",
            severities=("warning", "critical"),
            metrics={metric.value: words for metric, words in WATCHED_WORDS.items()},
            filters=("feature", "model"),
            past=past_anomalies.past,
            course=past_anomalies.course,
        )
    )
    register(
        Source(
            key=BUDGET,
            kind="budget",
            name="Thresholds of budgets",
            severities=("info", "warning", "critical"),
            budgets=past_thresholds.subjects,
            past=past_thresholds.past,
            course=past_thresholds.course,
        )
    )
    register(
        Source(
            key=FORECAST,
            kind="budget",
            name="Forecasts over a budget",
            severities=("warning",),
            budgets=past_thresholds.subjects,
        )
    )
