"""What a process remembers of budgets, limits and controls. Every statement of the guard proves that it is current."""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Lock
from typing import NamedTuple

from django.db import connection
from django.db.models import Q

from budgets.models import Budget, BudgetPeriod, Grant, RateLimit
from budgets.rules.allowance import Granted, Past, granted, grants_left
from budgets.rules.coverage import Coverage
from budgets.rules.periods import period_of
from budgets.rules.stance import NO_POLICY, Policy
from incidents.models import Control, ModePolicy
from usage.pricing import book
from usage.pricing.book import Book

# Clocks of web server and database differ: a period that has just ended for one goes on for the other.
LENIENCE = timedelta(hours=1)

_VERSIONS = """
SELECT coalesce((SELECT version FROM budgets_guardversion WHERE id = 1), 0),
    coalesce((SELECT version FROM incidents_controlversion WHERE id = 1), 0)
"""


class Versions(NamedTuple):
    """Of budgets and limits, of controls and policies, of prices."""

    definitions: int
    controls: int
    prices: int


@dataclass
class Known:
    """A budget with its grants and the periods that have a row."""

    budget: Budget
    grants: list[Granted]
    periods: dict[datetime, int]
    _latest: tuple[datetime, datetime] | None = None

    def period(self, at: datetime) -> tuple[datetime, datetime]:
        """(start, end) of the period at a moment; remembered, for the zone's arithmetic takes a while."""
        latest = self._latest
        if latest is None or not latest[0] <= at < latest[1]:
            latest = self._latest = period_of(self.budget, at)
        return latest

    def period_id(self, at: datetime) -> int | None:
        """The row of the period, None where it is not opened yet."""
        return self.periods.get(self.period(at)[0])

    def allowed(self, at: datetime) -> Decimal:
        """Limit and grants; what was rolled over is with the period's row."""
        return self.budget.limit + granted(self.grants, at) if self.grants else self.budget.limit


@dataclass(frozen=True)
class Snapshot:
    """Everything at one set of versions. Shared by the threads of a process, which only read it."""

    versions: Versions
    book: Book
    budgets: Coverage[Known]
    limits: Coverage[RateLimit]
    controls: Coverage[Control]  # all but rate limits, which decide nothing but how many
    limits_for_now: Coverage[Control]
    policies: dict[tuple[int | None, str, str], Policy] = field(default_factory=dict)

    def policy(self, team_id: int, feature: str, mode: str) -> Policy:
        """What a mode means for a feature: the team's, then the team's default, then everybody's."""
        for key in ((team_id, feature, mode), (team_id, "", mode), (None, feature, mode), (None, "", mode)):
            if (found := self.policies.get(key)) is not None:
                return found
        return NO_POLICY


_held: Snapshot | None = None
_loading = Lock()


def held() -> Snapshot | None:
    """The snapshot as this process last loaded it: for a database that is away."""
    return _held


def current() -> Snapshot:
    """The snapshot this process holds; loaded where it holds none yet. A statement proves whether it is still so."""
    return _held or load()


def load() -> Snapshot:
    """A snapshot from the database. The versions are read first: what changes meanwhile is found out by the proof."""
    global _held
    with _loading:
        prices = book.current()
        with connection.cursor() as cursor:
            cursor.execute(_VERSIONS)
            definitions, controls = cursor.fetchone()
        versions = Versions(definitions, controls, prices.version)
        if _held is None or _held.versions != versions:
            _held = _read(versions, prices)
        return _held


def _read(versions: Versions, prices: Book) -> Snapshot:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        now = cursor.fetchone()[0]
    controls = list(
        Control.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), ended_at=None).select_related("team")
    )
    return Snapshot(
        versions,
        prices,
        Coverage(known_budgets(Budget.objects.filter(is_active=True), now), lambda known: known.budget),
        Coverage(RateLimit.objects.filter(is_active=True)),
        Coverage(one for one in controls if one.kind != Control.Kind.RATE_LIMIT),
        Coverage(one for one in controls if one.kind == Control.Kind.RATE_LIMIT),
        {(one.team_id, one.feature, one.mode): _policy(one) for one in ModePolicy.objects.all()},
    )


def _policy(row: ModePolicy) -> Policy:
    return Policy(row.max_output_tokens, row.max_context_tokens, row.top_k, dict(row.model_map), tuple(row.tools_off))


def known_budgets(budgets: Iterable[Budget], now: datetime) -> list[Known]:
    """The budgets with what is left of their grants and the rows of their current and coming periods."""
    found = list(budgets)
    grants = _grants(found, now)
    rows = _rows(found, grants, now)
    return [_known(budget, grants[budget.pk], rows[budget.pk], now) for budget in found]


def _known(budget: Budget, grants: list[Grant], rows: list[BudgetPeriod], now: datetime) -> Known:
    whole = [Granted(one.amount, one.valid_from, one.expires_at) for one in grants]
    past = [
        Past(row.starts_at, row.ends_at, row.used - budget.limit - row.carried) for row in rows if row.ends_at <= now
    ]
    coming = {row.starts_at: row.pk for row in rows if row.ends_at > now - LENIENCE}
    return Known(budget, grants_left(whole, past), coming)


def _grants(budgets: list[Budget], now: datetime) -> dict[int, list[Grant]]:
    by_budget: dict[int, list[Grant]] = defaultdict(list)
    for grant in Grant.objects.filter(budget__in=budgets, revoked_at=None, expires_at__gt=now):
        by_budget[grant.budget_id].append(grant)
    return by_budget


def _rows(budgets: list[Budget], grants: dict[int, list[Grant]], now: datetime) -> dict[int, list[BudgetPeriod]]:
    """Current and coming periods of every budget; of those with a grant, earlier ones since it became valid."""
    since = {pk: min(grant.valid_from for grant in given) for pk, given in grants.items() if given}
    wanted = Q(budget__in=budgets, ends_at__gt=now - LENIENCE)
    for pk, moment in since.items():
        wanted |= Q(budget=pk, ends_at__gt=moment)
    by_budget: dict[int, list[BudgetPeriod]] = defaultdict(list)
    for row in BudgetPeriod.objects.filter(wanted):
        insort(by_budget[row.budget_id], row, key=lambda one: one.starts_at)
    return by_budget
