"""What a rule would move, before it is made: calls and spend of the last days by what they are and would be."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import Q

from accounts.models import Team
from usage.attribution.apply import Known, Target, assignment, series_of, targets
from usage.models import AttributionRule

DAYS = 30
# Of one key the roll-ups know nothing before it has a rule: its events are read.
KEY_DAYS = 7

_SUMS = """
    SELECT series_id, sum(events), coalesce(sum(cost_usd), 0), coalesce(sum(unpriced), 0) + coalesce(sum(unmetered), 0)
    FROM usage_hour WHERE team_id = %s AND bucket >= %s AND series_id = ANY(%s::bigint[]) GROUP BY 1
"""
_KEY_SUMS = """
    SELECT series_id, count(*), coalesce(sum(cost_usd), 0), count(*) FILTER (WHERE cost_state IN (2, 3))
    FROM usage_event WHERE team_id = %s AND occurred_at >= %s AND api_key_id = %s GROUP BY 1
"""


@dataclass(frozen=True)
class Move:
    """Events of one team that would change: (feature, cost centre) before and after, USD of those with a known cost."""

    team: Team
    before: Target
    after: Target
    events: int = 0
    cost: Decimal = Decimal(0)
    unknown: int = 0


@dataclass(frozen=True)
class Preview:
    """What would move, dearest first, over the last `days` days."""

    moves: list[Move]
    days: int

    @property
    def cost(self) -> Decimal:
        return sum((move.cost for move in self.moves), Decimal(0))

    @property
    def events(self) -> int:
        return sum(move.events for move in self.moves)


def preview(draft: AttributionRule, teams: Iterable[Team], now: datetime) -> Preview:
    """What the rule, not saved, would change in these teams. Hours not rolled up yet are left out."""
    days = KEY_DAYS if draft.api_key_id else DAYS
    since = now - timedelta(days=days)
    moves = [move for team in teams for move in _of_team(draft, team, since)]
    return Preview(sorted(moves, key=lambda move: (-move.cost, -move.events)), days)


def _of_team(draft: AttributionRule, team: Team, since: datetime) -> list[Move]:
    known = series_of(team.pk)
    before, after = _targets(draft, team, known)
    changed = [one for one in after if after[one] != before[one]]
    found: dict[tuple[Target, Target], Move] = defaultdict(lambda: Move(team, ("", ""), ("", "")))
    for series, events, cost, unknown in _sums(draft, team, since, changed):
        if series in after and after[series] != before[series]:
            pair = before[series], after[series]
            old = found[pair]
            found[pair] = Move(team, *pair, old.events + events, old.cost + cost, old.unknown + unknown)
    return list(found.values())


def _targets(draft: AttributionRule, team: Team, known: dict[int, Known]) -> tuple[dict, dict]:
    """Series → target without and with the draft. Of a key's rule, series are looked at as if they were the key's."""
    rules = list(AttributionRule.objects.filter(Q(team=None) | Q(team=team), is_active=True))
    if draft.api_key_id:
        own = {one.id: replace(one, api_key=draft.api_key_id) for one in known.values() if one.api_key is None}
        known = known | own
    ordered = sorted([*rules, draft], key=lambda rule: (rule.position, rule.pk or float("inf")))
    without = [assignment(rule) for rule in ordered if rule is not draft]
    return targets(known, without), targets(known, [assignment(rule) for rule in ordered])


def _sums(draft: AttributionRule, team: Team, since: datetime, changed: list[int]) -> list[tuple]:
    with connection.cursor() as cursor:
        if draft.api_key_id:
            cursor.execute(_KEY_SUMS, [team.pk, since, draft.api_key_id])
        else:
            cursor.execute(_SUMS, [team.pk, since, changed])
        return cursor.fetchall()
