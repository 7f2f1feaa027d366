"""Who costs most: users and conversations by cost, from the events themselves, as the roll-ups do not keep them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from accounts.models import Team
from usage.measures import COST_PRICED
from usage.models import Series
from usage.scope import Scope

LIMIT = 8

# The bounds prune the partitions to the day or two they touch. Grouped by team too, as two teams may use the same id.
# One query for each kind: grouping sets over both ids would sort, where this hashes and keeps the first few.
TOP = """
    SELECT team_id, {key}, sum(cost_usd), count(*)
    FROM usage_event
    WHERE team_id = ANY(%(teams)s) AND occurred_at >= %(start)s AND occurred_at < %(end)s
      AND cost_state = {priced} AND {key} IS NOT NULL{filters}
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT {limit}
"""


@dataclass(frozen=True)
class Spender:
    """A user or conversation with the cost of its priced calls; `key` is the hash or id."""

    team: Team
    key: str
    cost: Decimal
    calls: int


@dataclass(frozen=True)
class Top:
    """The dearest users and conversations of [start, end), dearest first."""

    start: datetime
    end: datetime
    users: list[Spender]
    conversations: list[Spender]


def top_by_cost(scope: Scope) -> Top:
    """At most LIMIT of each over the scope's window and filters. Two scans of its events: see usage.queries.recent."""
    parameters: dict[str, Any] = {"teams": list(scope.team_ids), "start": scope.start, "end": scope.end}
    filters = _filters(scope, parameters)
    teams = {team.id: team for team in scope.teams}
    found = {}
    with connection.cursor() as cursor:
        for key in ("user_hash", "conversation_id"):
            cursor.execute(TOP.format(key=key, priced=COST_PRICED, filters=filters, limit=LIMIT), parameters)
            found[key] = [Spender(teams[team], name, cost, calls) for team, name, cost, calls in cursor.fetchall()]
    return Top(scope.start, scope.end, found["user_hash"], found["conversation_id"])


def _filters(scope: Scope, parameters: dict[str, Any]) -> str:
    """SQL of the scope's filters: on the series for all dimensions but the tenant."""
    sql = ""
    if named := {f"{name}__in": values for name, values in scope.filters.items() if name != "tenant"}:
        found = Series.objects.filter(team_id__in=scope.team_ids, **named)
        parameters["series"] = list(found.values_list("id", flat=True))
        sql += " AND series_id = ANY(%(series)s::bigint[])"
    if tenants := scope.filters.get("tenant"):
        parameters["tenants"] = list(tenants)
        sql += " AND coalesce(tenant, '') = ANY(%(tenants)s)"
    return sql
