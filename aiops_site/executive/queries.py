"""The figures of the page, each by one metric query of the scope."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
    """DAILY in days of the viewer's zone; in weeks where days would be too many to see."""
    return scope.query(DAILY, step=_step(scope))


def ranked(slices: Iterable[Slice]) -> list[str]:
    """Slugs of the teams, dearest first; those of unknown cost last."""
    costs: dict[str, Decimal | None] = {}
    for one in slices:
        known = costs.setdefault(one.team, None)
        costs[one.team] = known if one.cost is None else (known or Decimal(0)) + one.cost
    return sorted(costs, key=lambda team: (costs[team] is None, -(costs[team] or 0), team))


def of_teams(scope: Scope, slugs: Sequence[str]) -> tuple[MetricResult, MetricResult]:
    """BY_TEAM of these teams, and their spend by day."""
    chosen = replace(scope, teams=tuple(team for team in scope.teams if team.slug in slugs))
    return chosen.query(BY_TEAM, group_by=("team",)), chosen.query(("cost_usd",), step=_step(scope), group_by=("team",))


def _step(scope: Scope) -> str:
    return "week" if scope.step == "week" else "day"


@dataclass(frozen=True)
class Day:
    """One day of all teams. `cost` is None where all of it is unknown, `availability` without requests."""

    start: datetime
    cost: Decimal | None
    availability: float | None


def days(result: MetricResult) -> list[Day]:
    """Every day, empty ones too."""
    found = {row.at: row.values for row in result.rows}
    return [_day(at, found.get(at)) for at in result.buckets]


def _day(at: datetime, values: dict[str, Any] | None) -> Day:
    if values is None:
        return Day(at, None, None)
    decided = values["successes"] + values["errors"]
    return Day(at, values["cost_usd"], values["successes"] / decided if decided else None)


def month(scope: Scope) -> SpendReport:
    """The month the window ends in, so far, by team and feature, beside the same days of the month before."""
    so_far: Window = month_so_far(scope.end, scope.zone)
    before = month_before(so_far, scope.zone)
    return spend_by(SpendQuery(so_far, before, ("team", "feature"), scope.team_ids, scope.filters, scope.zone, False))
