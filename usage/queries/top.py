"""Who costs most: users and conversations by cost, from the events themselves, as the roll-ups do not keep them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection

from usage.measures import COST_PRICED
from usage.models import Series
from usage.scope import Scope

LIMIT = 8

# The start and end bounds prune the partitions to the day or two they touch. Grouping by id without the team is not
# enough: two teams may use the same id, and each must see its own sum.
TOP = """
    SELECT team_id, conversation_id, user_hash, sum(cost_usd), count(*)
    FROM usage_event
    WHERE team_id = ANY(%(teams)s) AND occurred_at >= %(start)s AND occurred_at < %(end)s
      AND cost_state = {priced}{filters}
    GROUP BY GROUPING SETS ((team_id, conversation_id), (team_id, user_hash))
    HAVING (grouping(conversation_id) = 0 AND conversation_id IS NOT NULL)
        OR (grouping(user_hash) = 0 AND user_hash IS NOT NULL)
"""
# The dearest of each kind.
RANKED = """
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY conversation_id IS NULL ORDER BY sum DESC) AS place FROM ({top}) t
    ) ranked WHERE place <= {limit} ORDER BY sum DESC
"""


@dataclass(frozen=True)
class Spender:
    """A user or conversation with the cost of its priced calls; `key` is the hash or id."""

    team: str
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
    """At most LIMIT of each over the scope's window and filters. One scan of the window: keep it to a day."""
    parameters = {"teams": list(scope.team_ids), "start": scope.start, "end": scope.end}
    filters = _filters(scope, parameters)
    sql = RANKED.format(top=TOP.format(priced=COST_PRICED, filters=filters), limit=LIMIT)
    slugs = {team.id: team.slug for team in scope.teams}
    top = Top(scope.start, scope.end, [], [])
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        for team_id, conversation, user, cost, calls, _ in cursor.fetchall():
            found = top.users if conversation is None else top.conversations
            found.append(Spender(slugs[team_id], conversation or user, cost, calls))
    return top


def _filters(scope: Scope, parameters: dict) -> str:
    """SQL of the scope's filters: on the series for all dimensions but the tenant."""
    sql = ""
    if named := {f"{name}__in": values for name, values in scope.filters.items() if name != "tenant"}:
        found = Series.objects.filter(team_id__in=scope.team_ids, **named)
        parameters["series"] = list(found.values_list("id", flat=True))
        sql += " AND series_id = ANY(%(series)s)"
    if tenants := scope.filters.get("tenant"):
        parameters["tenants"] = list(tenants)
        sql += " AND coalesce(tenant, '') = ANY(%(tenants)s)"
    return sql
