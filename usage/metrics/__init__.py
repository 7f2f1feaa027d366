"""The metric query: the one way pages, the API and reports read numbers."""

from usage.metrics.asked import DIMENSION_NAMES, MetricQuery, QueryError
from usage.metrics.catalogue import CATALOGUE, Metric
from usage.metrics.query import MetricResult, Row, kept_step, query

__all__ = [
    "CATALOGUE",
    "DIMENSION_NAMES",
    "Metric",
    "MetricQuery",
    "MetricResult",
    "QueryError",
    "Row",
    "kept_step",
    "query",
]
