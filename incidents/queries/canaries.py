"""Synthetic checks: which fail, and how they did over time."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from django.db.models import Q, QuerySet

from accounts.access import can, visible_teams
from accounts.models import User
from incidents.models import AlertRule, Canary, CanaryRun
from incidents.queries.readings import LabelSet
from incidents.rules.alert_rules import Reading

FAILS_AT = 2
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Failing:
    """A check whose last runs failed: since when, how many, and what was wrong with the last one."""

    canary: Canary
    since: datetime
    runs: int
    failures: list[str]


@dataclass(frozen=True)
class Day:
    """The last 24 hours of one check. `hours`: (start, share of good runs, None without any)."""

    runs: int
    good: int
    p95_ms: float | None
    hours: list[tuple[datetime, float | None]]
    last: CanaryRun | None

    @property
    def passed(self) -> float | None:
        return self.good / self.runs if self.runs else None


def visible_canaries(user: User) -> QuerySet[Canary]:
    """Of the user's teams, and the organisation's for organisation-wide roles."""
    mine = Q(team__in=visible_teams(user)) | (Q(team=None) if can(user, "team.view") else Q())
    return Canary.objects.filter(mine).select_related("team", "owner")


def failing(at: datetime) -> list[Failing]:
    """Active checks that failed at least FAILS_AT times in a row, as known at `at`."""
    found = []
    for canary in Canary.objects.filter(is_active=True, failed_in_row__gte=FAILS_AT).select_related("team"):
        runs = list(canary.runs.filter(at__lte=at)[: canary.failed_in_row])
        if len(runs) >= FAILS_AT and not any(run.ok for run in runs[:FAILS_AT]):
            found.append(Failing(canary, runs[-1].at, canary.failed_in_row, runs[0].failures))
    return found


def watched_by(rule: AlertRule) -> QuerySet[Canary]:
    """Active checks that ran and that a rule of kind canary judges: the one it names, those of its team, or all."""
    active = Canary.objects.filter(is_active=True, last_run_at__isnull=False).order_by("pk")
    if check := rule.options.get("check"):
        active = active.filter(pk=check)
    return active.filter(team=rule.team_id) if rule.team_id else active


def canary_label_sets(rule: AlertRule, now: datetime) -> list[LabelSet]:
    """Failed runs in a row of every check that the rule watches: what rules of kind canary judge."""
    return [
        LabelSet(canary.team_id, {"check": canary.name, "id": str(canary.pk)}, Reading(Decimal(canary.failed_in_row)))
        for canary in watched_by(rule)
    ]


def days(canaries: Iterable[Canary], at: datetime) -> dict[int, Day]:
    """Check's id → its last 24 hours; one query."""
    by_canary: dict[int, list[CanaryRun]] = defaultdict(list)
    canaries = list(canaries)
    for run in CanaryRun.objects.filter(canary__in=canaries, at__gt=at - DAY, at__lte=at).order_by("at"):
        by_canary[run.canary_id].append(run)
    return {canary.pk: _day(by_canary[canary.pk], at) for canary in canaries}


def _day(runs: Sequence[CanaryRun], at: datetime) -> Day:
    latencies = [run.latency_ms for run in runs if run.latency_ms is not None]
    p95 = float(np.percentile(latencies, 95, method="inverted_cdf")) if latencies else None
    first = at.replace(minute=0, second=0, microsecond=0) - 23 * HOUR
    starts = [first + number * HOUR for number in range(24)]
    hours = [(start, _share([run.ok for run in runs if start <= run.at < start + HOUR])) for start in starts]
    return Day(len(runs), sum(run.ok for run in runs), p95, hours, runs[-1] if runs else None)


def _share(outcomes: list[bool]) -> float | None:
    return sum(outcomes) / len(outcomes) if outcomes else None
