"""What the guard did lately. Counts are kept per minute; calls are looked at up to a bound, whatever their number."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import F, QuerySet, Sum

from accounts.models import Team, User
from budgets.models import Budget, GuardCount, Hold, RateLimit
from incidents.controls import in_force, visible_controls
from incidents.models import Control

LATELY = timedelta(hours=24)
STEP = timedelta(minutes=15)
# Newest reservations the page adds up.
LOOKED_AT = 10_000
LISTED = 25
LARGEST = 10
REASONS = {
    "budget_exhausted": "budget used up",
    "budget_unverified": "budget not measured",
    "unpriced_model": "model without a price",
    "unknown_tokens": "tokens not given",
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
    "concurrency": "calls at once",
    "mode_conserve": "conserve mode",
    "mode_emergency": "emergency mode",
    "failover": "provider failover",
    "blocked": "blocked mode",
    "kill_switch": "kill switch",
    "breaker": "circuit breaker",
    "provider_stopped": "provider stopped",
}


def reason_words(code: str) -> str:
    """A reason code of the guard as people say it."""
    return REASONS.get(code, code.replace("_", " "))


@dataclass(frozen=True)
class Refusals:
    """How often one budget (None: none of them) decided so for one reason, in all of the teams together."""

    budget: Budget | None
    decision: str
    code: str
    count: int

    @property
    def reason(self) -> str:
        return reason_words(self.code)


@dataclass(frozen=True)
class Caller:
    """Reservations of one team and feature. `cost` is what they were settled with so far, USD."""

    team: Team
    feature: str
    calls: int
    cost: Decimal
    unknown: int


@dataclass(frozen=True)
class Recent:
    """Sums over the newest reservations; `calls` of them, so at most LOOKED_AT."""

    calls: int
    since: datetime | None
    callers: list[Caller]
    over_count: int
    over_usd: Decimal


def open_holds(teams: Iterable[Team], now: datetime) -> QuerySet[Hold]:
    """Reservations that hold something now, newest first."""
    return Hold.objects.filter(team__in=list(teams), state="open", expires_at__gt=now).order_by("-created_at")


def overruns(teams: Iterable[Team], now: datetime) -> list[Hold]:
    """Of the newest reservations those that cost most beyond their estimate, largest first."""
    newest = Hold.objects.filter(team__in=list(teams), created_at__gt=now - LATELY).order_by("-created_at")[:LOOKED_AT]
    over = Hold.objects.filter(pk__in=newest.values("pk"), cost_usd__gt=F("estimate_usd"))
    return list(over.order_by(F("estimate_usd") - F("cost_usd"))[:LARGEST])


_RECENT = """
WITH newest AS (
    SELECT * FROM budgets_hold WHERE team_id = ANY (%s) AND created_at > %s ORDER BY created_at DESC LIMIT %s
)
SELECT team_id, feature, count(*), coalesce(sum(cost_usd), 0),
    count(*) FILTER (WHERE state = 'settled' AND cost_usd IS NULL), min(created_at),
    count(*) FILTER (WHERE cost_usd > estimate_usd),
    coalesce(sum(cost_usd - estimate_usd) FILTER (WHERE cost_usd > estimate_usd), 0)
FROM newest GROUP BY 1, 2 ORDER BY 4 DESC, 3 DESC
"""


def recent(teams: Iterable[Team], now: datetime) -> Recent:
    """Who reserves most, and how much ran over, in the last day."""
    by_id = {team.pk: team for team in teams}
    with connection.cursor() as cursor:
        cursor.execute(_RECENT, [list(by_id), now - LATELY, LOOKED_AT])
        rows = cursor.fetchall()
    return Recent(
        calls=sum(row[2] for row in rows),
        since=min((row[5] for row in rows), default=None),
        callers=[Caller(by_id[row[0]], row[1], *row[2:5]) for row in rows[:LISTED]],
        over_count=sum(row[6] for row in rows),
        over_usd=sum((row[7] for row in rows), Decimal(0)),
    )


def _counts(teams: Iterable[Team], now: datetime) -> QuerySet[GuardCount]:
    return GuardCount.objects.filter(team_id__in=[team.pk for team in teams], minute__gt=now - LATELY)


def refusals(teams: Iterable[Team], now: datetime) -> list[Refusals]:
    """Denied and degraded calls of the last day by budget and reason, most first. Budgets of other slices than the
    teams' (the organisation's) are shown as none."""
    found = list(teams)
    rows = (
        _counts(found, now)
        .values("budget_id", "decision", "code")
        .annotate(total=Sum("count"))
        .order_by("-total", "code")
    )
    budgets = Budget.objects.filter(team__in=found).in_bulk([row["budget_id"] for row in rows])
    return [Refusals(budgets.get(row["budget_id"]), row["decision"], row["code"], row["total"]) for row in rows]


def over_time(teams: Iterable[Team], now: datetime) -> dict[str, list[tuple[datetime, int]]]:
    """decision → (start of a quarter of an hour, how many) over the last day."""
    start = now - LATELY
    start -= timedelta(minutes=start.minute % 15, seconds=start.second, microseconds=start.microsecond)
    sums: dict[tuple[str, datetime], int] = defaultdict(int)
    for minute, decision, count in _counts(teams, now).values_list("minute", "decision", "count"):
        sums[decision, start + (minute - start) // STEP * STEP] += count
    steps = [start + STEP * number for number in range(int((now - start) / STEP) + 1)]
    return {decision: [(step, sums[decision, step]) for step in steps] for decision in ("deny", "degrade")}


def rate_limits(teams: Iterable[Team], *, of_all: bool) -> QuerySet[RateLimit]:
    """Limits in force of the teams, and of all teams together where they may be seen."""
    found = RateLimit.objects.filter(is_active=True).select_related("team")
    mine = found.filter(team__in=list(teams))
    return (mine | found.filter(team=None)) if of_all else mine


def limits_for_now(user: User, now: datetime) -> QuerySet[Control]:
    """Rate limits and throttles set for a time that the user may see, newest first."""
    slowing = (Control.Kind.RATE_LIMIT, Control.Kind.THROTTLE)
    return visible_controls(user).filter(pk__in=in_force(now), kind__in=slowing)
