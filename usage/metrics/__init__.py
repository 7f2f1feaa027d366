"""The metric query: the one way pages, the API and reports read numbers."""

from usage.metrics.catalogue import CATALOGUE, Metric
from usage.metrics.query import DIMENSION_NAMES, MetricQuery, MetricResult, QueryError, Row, kept_step, query

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
