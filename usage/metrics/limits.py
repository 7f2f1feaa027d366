"""How much of each provider's limit is used, where a metric gives the one used most."""

from datetime import datetime
from decimal import Decimal

from django.utils import timezone

from usage.metrics.asked import MetricQuery
from usage.metrics.metric import Peak
from usage.metrics.query import snap
from usage.metrics.quota import minutes, read_limits

PEAKS = [Peak("requests"), Peak("tokens")]


def limit_use(q: MetricQuery, now: datetime | None = None) -> dict[int | None, tuple[Decimal | None, ...]]:
    """Limit's id → shares of its requests and of its tokens a minute that the busiest minute of the window took.

    Only limits that calls of the query count against are there; None stands for calls without any. The metrics, step
    and group_by of the query are of no account. Raises QueryError as the metrics of quota use do.
    """
    now = now or timezone.now()
    start, end = snap(q, now)
    return read_limits(minutes(q, start, end, now), PEAKS) if q.team_ids != () else {}
