"""The metric query: the one way pages, the API and reports read numbers."""

from usage.metrics.asked import DIMENSION_NAMES, MetricQuery, QueryError
from usage.metrics.catalogue import CATALOGUE
from usage.metrics.limits import limit_use
from usage.metrics.metric import Metric
from usage.metrics.query import MetricResult, Row, histograms, histograms_by_step, kept_step, query

__all__ = [
    "CATALOGUE",
    "DIMENSION_NAMES",
    "Metric",
    "MetricQuery",
    "MetricResult",
    "QueryError",
    "Row",
    "histograms",
    "histograms_by_step",
    "kept_step",
    "limit_use",
    "query",
]
