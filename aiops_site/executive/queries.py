"""The figures of the page, each by one metric query of the scope."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from aiops_site.executive.rules import Proxy, Slice, Value
from usage.metrics import MetricResult
from usage.metrics import Row as MetricRow
from usage.queries.spend import SpendQuery, SpendReport, spend_by
from usage.rules.spend import Window, month_before, month_so_far
from usage.scope import Scope

# Metric, its sample, and the words behind its figure.
PROXIES = (
    ("feedback_score", "feedback_count", "up", "of thumbs are up"),
    ("refusal_rate", "refusal_checks", "down", "of answers are refusals"),
    ("citation_coverage", "citation_checks", "up", "of answers cite a source"),
    ("schema_validity", "schema_checks", "up", "of structured answers are valid"),
    ("empty_retrieval_rate", "retrieval_checks", "down", "of look-ups find nothing"),
    ("tool_failure_rate", "tool_executions", "down", "of tool calls fail"),
)
SLICED = ("requests", "errors", "calls", "fallbacks", "unpriced_calls", "cost_usd")
COUNTED = (*SLICED, "successes", *(name for proxy in PROXIES for name in proxy[:2]))
SLICES = ("team", "feature", "provider", "cost_center")
DAILY = ("cost_usd", "successes", "errors")
BY_TEAM = ("availability", "latency_p95", "errors", "cost_usd")


@dataclass(frozen=True)
class Totals:
    """A window in one query: who did what (by team, feature, provider and cost centre), and the whole of it."""

    slices: list[Slice]
    requests: int
    errors: int
    successes: int
    shares: dict[str, tuple[Value, int]]  # metric of PROXIES → (share, of how many)

    @property
    def availability(self) -> float | None:
        decided = self.successes + self.errors
        return self.successes / decided if decided else None


def totals(scope: Scope) -> Totals:
    result = scope.query(COUNTED, group_by=SLICES)
    rows = [row.values for row in result.rows]
    slices = [_slice(row) for row in result.rows]
    requests, errors, successes = (sum(row[name] for row in rows) for name in ("requests", "errors", "successes"))
    return Totals(slices, requests, errors, successes, {proxy[0]: _share(rows, *proxy[:2]) for proxy in PROXIES})


def _slice(row: MetricRow) -> Slice:
    values: dict[str, Any] = row.values
    team, feature, provider, cost_center = row.key
    return Slice(team, feature, provider, cost_center, *(values[name] for name in SLICED))


def _share(rows: list[dict], metric: str, count: str) -> tuple[Value, int]:
    """A share over all rows, each weighing as many answers as it speaks of."""
    whole = sum(row[count] for row in rows)
    return (sum(row[metric] * row[count] for row in rows if row[count]) / whole if whole else None), whole


def proxies(now: Totals, before: Totals | None) -> list[Proxy]:
    """The quality signals of now and before (None: nothing to compare with)."""
    return [
        Proxy(says, better, *now.shares[metric], *(before.shares[metric] if before else (None, 0)))
        for metric, _, better, says in PROXIES
    ]


def daily(scope: Scope) -> MetricResult:
    """DAILY by team, in days of the viewer's zone; in weeks where days would be too many to see."""
    return scope.query(DAILY, step="week" if scope.step == "week" else "day", group_by=("team",))


def by_team(scope: Scope) -> list[MetricRow]:
    """BY_TEAM, dearest first."""
    return scope.query(BY_TEAM, group_by=("team",)).ranked("cost_usd")


@dataclass(frozen=True)
class Day:
    """One day of all teams. `cost` is None where all of it is unknown, `availability` without requests."""

    start: datetime
    cost: Decimal | None
    availability: float | None


def days(result: MetricResult) -> list[Day]:
    """The teams' days added up, empty days too."""
    found: dict[datetime | None, list[dict]] = {}
    for row in result.rows:
        found.setdefault(row.at, []).append(row.values)
    return [_day(at, found.get(at, [])) for at in result.buckets]


def _day(at: datetime, rows: list[dict]) -> Day:
    costs = [row["cost_usd"] for row in rows if row["cost_usd"] is not None]
    good, failed = (sum(row[name] for row in rows) for name in ("successes", "errors"))
    return Day(at, sum(costs) if costs else None, good / (good + failed) if good + failed else None)


def month(scope: Scope) -> SpendReport:
    """The month the window ends in, so far, by team and feature, beside the same days of the month before."""
    so_far: Window = month_so_far(scope.end, scope.zone)
    before = month_before(so_far, scope.zone)
    return spend_by(SpendQuery(so_far, before, ("team", "feature"), scope.team_ids, scope.filters, scope.zone))
