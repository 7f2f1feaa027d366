"""Who is hit by an incident and what it costs, from the metric query over its slice and time."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial

from incidents.models import Incident
from incidents.queries.slices import WEEK, Slice, slice_of
from usage.metrics import MetricResult

WORST = 5
WEEKS = 4  # whose same hours the cost is compared with
UNKNOWN = ("unpriced_calls", "unmetered_calls")


@dataclass(frozen=True)
class Hit:
    """One value that is hit. share: its part of all failed requests, or of all spend where none failed."""

    name: str
    failed: int
    requests: int
    share: Decimal | None
    rate: Decimal | None
    cost: Decimal | None


@dataclass(frozen=True)
class Cost:
    """What was spent in the slice since the impact began, in USD. usual: the mean of the same hours of earlier weeks.

    None is unknown: usual where no earlier week has traffic. unknown_calls: calls whose cost is not in it.
    """

    spent: Decimal | None
    usual: Decimal | None
    weeks: int
    unknown_calls: int

    @property
    def extra(self) -> Decimal | None:
        return None if self.spent is None or self.usual is None else self.spent - self.usual


@dataclass(frozen=True)
class Impact:
    """Figures of an incident, of requests or of model calls (`where.noun`).

    by_failures: whether groups are ranked by failures, else by spend.
    """

    where: Slice
    requests: int
    failed: int
    rate: Decimal | None
    usual_rate: Decimal | None
    groups: list[tuple[str, list[Hit]]]
    by_failures: bool
    cost: Cost


def impact_of(incident: Incident, now: datetime) -> Impact:
    """At most eight metric queries, whatever the traffic."""
    where = slice_of(incident, now)
    requests, errors, error_rate = (where.metric(name) for name in ("requests", "errors", "error_rate"))
    metrics = (requests, errors, error_rate, "cost_usd")
    whole, usual = where.query(metrics), where.usual.query(metrics)
    failed = whole.value(errors)
    rate, usual_rate = whole.value(error_rate), usual.value(error_rate)
    by_failures = bool(failed) and incident.failure_mode != "cost"
    total = Decimal(failed) if by_failures else whole.value("cost_usd")
    names = (("Features", "feature"), *((("Tenants", "tenant"),) if where.knows_tenants else ()))
    ranked = partial(_hits, by_failures=by_failures, total=total)
    groups = [(title, ranked(where.query(metrics, (name,)))) for title, name in names]
    return Impact(
        where=where,
        requests=whole.value(requests),
        failed=failed,
        rate=rate,
        usual_rate=usual_rate,
        groups=[(title, hits) for title, hits in groups if hits],
        by_failures=by_failures,
        cost=cost_of(where, now),
    )


def _hits(result: MetricResult, *, by_failures: bool, total: Decimal | None) -> list[Hit]:
    """The worst values that are named, with their part of the total."""
    requests, errors, error_rate, cost = result.query.metrics
    metric = errors if by_failures else cost
    rows = [row for row in result.ranked(metric) if row.key[0] and row.values[metric]]
    return [
        Hit(
            name=row.key[0],
            failed=row.values[errors],
            requests=row.values[requests],
            share=Decimal(row.values[metric]) / total if total else None,
            rate=row.values[error_rate],
            cost=row.values[cost],
        )
        for row in rows[:WORST]
    ]


def cost_of(where: Slice, now: datetime) -> Cost:
    """What the slice cost so far, beside the mean of the same hours of up to four earlier weeks with traffic."""
    spent = where.query(("cost_usd", *UNKNOWN))
    weeks = -(-where.length // WEEK)
    earlier = [where.earlier(WEEK * weeks * number).query(("cost_usd", "events")) for number in range(1, WEEKS + 1)]
    known = [one.value("cost_usd") for one in earlier if one.value("events") and one.value("cost_usd") is not None]
    usual = sum(known, Decimal(0)) / len(known) if known else None
    unknown = sum(spent.value(name) for name in UNKNOWN)
    return Cost(spent.value("cost_usd"), usual, len(known), unknown)
