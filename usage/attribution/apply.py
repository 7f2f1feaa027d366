"""Rules → series: what each series of a team is attributed to, written in one statement.

Figures by tenant hang on *narrow* series, which several series share. Where a rule tells those apart (by service or
API key), a series is pointed to a narrow series of its own, and the buckets whose events are still kept are marked to
be computed again. Older figures by tenant stay as they were.
"""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from usage import partitions
from usage.measures import DIMENSIONS
from usage.models import AttributionRule, RollupMark
from usage.rollups.drain import TEAM_LOCK, mark
from usage.rules.attribution import Assignment, assigned

# Held by whoever makes series of a team or changes its rules: so a series is made with the rules, or they find it.
SERIES_LOCK = 7_301_003
MATCHED = ("feature", "service", "model", "environment", "cost_center")

_READ = """
    SELECT id, narrow_id, sent_narrow_id, api_key_id, key, feature, cost_center,
        coalesce(sent_feature, feature), service, model, environment, coalesce(sent_cost_center, cost_center)
    FROM usage_series WHERE team_id = %s
"""
_WRITE = """
    UPDATE usage_series s SET feature = v.feature, cost_center = v.cost_center,
        sent_feature = coalesce(s.sent_feature, s.feature),
        sent_cost_center = coalesce(s.sent_cost_center, s.cost_center)
    FROM unnest(%s::bigint[], %s::text[], %s::text[]) v (id, feature, cost_center)
    WHERE s.team_id = %s AND s.id = v.id
"""
_POINT = """
    UPDATE usage_series s SET narrow_id = v.narrow, sent_narrow_id = coalesce(s.sent_narrow_id, s.narrow_id)
    FROM unnest(%s::bigint[], %s::bigint[]) v (id, narrow) WHERE s.team_id = %s AND s.id = v.id
"""
_OTHERS = ", ".join(name for name in DIMENSIONS if name not in ("feature", "cost_center"))
# A narrow series for one attribution of another; it names that one in sent_narrow_id, and points to itself.
_NARROW = f"""
    WITH fresh AS MATERIALIZED (
        SELECT nextval('usage_series_id_seq') AS id, v.*
        FROM unnest(%s::bigint[], %s::uuid[], %s::text[], %s::text[]) AS v (base, key, feature, cost_center)
    )
    INSERT INTO usage_series (team_id, id, key, narrow_id, sent_narrow_id, entry, feature, cost_center, {_OTHERS})
    SELECT s.team_id, f.id, f.key, f.id, s.id, s.entry, f.feature, f.cost_center,
        {", ".join(f"s.{name}" for name in _OTHERS.split(", "))}
    FROM fresh f JOIN usage_series s ON s.team_id = %s AND s.id = f.base
    ORDER BY f.key ON CONFLICT (team_id, key) DO NOTHING
"""


@dataclass(frozen=True)
class Known:
    """A series as it stands. `sent`: the dimensions conditions look at, as the events said them."""

    id: int
    narrow_id: int
    sent_narrow_id: int | None
    api_key: int | None
    key: UUID
    feature: str
    cost_center: str
    sent: dict[str, str]

    @property
    def base(self) -> int:
        """The narrow series it was made with."""
        return self.sent_narrow_id or self.narrow_id

    @property
    def made_here(self) -> bool:
        """Whether it is a narrow series made for an attribution."""
        return self.sent_narrow_id is not None and self.narrow_id == self.id


Target = tuple[str, str]


def lock_series(team_id: int) -> None:
    """Wait until nobody else makes series of the team or changes its rules; until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [SERIES_LOCK, team_id % 2**31])


def rules_of(team_id: int) -> list[Assignment]:
    """The rules in force for a team, the first one wins."""
    found = AttributionRule.objects.filter(Q(team=None) | Q(team_id=team_id), is_active=True)
    return [assignment(rule) for rule in found.order_by("position", "id")]


def assignment(rule: AttributionRule) -> Assignment:
    return Assignment(
        feature=rule.feature,
        service=rule.service,
        model=rule.model,
        environment=rule.environment,
        api_key=rule.api_key_id,
        only_untagged=rule.only_untagged,
        set_feature=rule.set_feature,
        set_cost_center=rule.set_cost_center,
    )


def series_of(team_id: int, ids: Collection[int] | None = None) -> dict[int, Known]:
    """Series of a team by id: all, or those `ids` with the narrow series they were made with."""
    where = ""
    values: list[Any] = [team_id]
    if ids is not None:
        where = (
            " AND id IN (SELECT unnest(%s::bigint[]) UNION SELECT coalesce(sent_narrow_id, narrow_id)"
            " FROM usage_series WHERE team_id = %s AND id = ANY(%s::bigint[]))"
        )
        values += [list(ids), team_id, list(ids)]
    with connection.cursor() as cursor:
        cursor.execute(_READ + where, values)
        return {row[0]: _known(row) for row in cursor.fetchall()}


def _known(row: tuple) -> Known:
    one, narrow, sent_narrow, api_key, key, feature, cost_center, *sent = row
    return Known(one, narrow, sent_narrow, api_key, key, feature, cost_center, dict(zip(MATCHED, sent, strict=True)))


def targets(known: dict[int, Known], rules: list[Assignment]) -> dict[int, Target]:
    """Series → (feature, cost centre) by the rules."""
    return {one.id: assigned(rules, one.sent, one.api_key) for one in known.values() if not one.made_here}


def apply_to_new(team_id: int, ids: Collection[int]) -> None:
    """Attribute series just made, in the transaction that made them: nobody saw them before, so no row is moved."""
    rules = rules_of(team_id)
    if rules and ids:
        known = series_of(team_id, ids)
        wanted = targets(known, rules)
        _write(team_id, known, wanted)
        _point(team_id, known, wanted)


def apply_to_all(team_id: int) -> int:
    """Attribute every series of a team by the rules as they are now; returns how many changed.

    In the caller's transaction, behind `lock_series`. It waits for a roll-up of the team that is under way.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [TEAM_LOCK, team_id % 2**31])
    known = series_of(team_id)
    wanted = targets(known, rules_of(team_id))
    changed = _write(team_id, known, wanted)
    _mark(team_id, _point(team_id, known, wanted))
    return changed


def _write(team_id: int, known: dict[int, Known], wanted: dict[int, Target]) -> int:
    rows = [
        (one, *wanted[one]) for one in sorted(wanted) if wanted[one] != (known[one].feature, known[one].cost_center)
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, [*map(list, zip(*rows, strict=True)), team_id])
    return len(rows)


def _point(team_id: int, known: dict[int, Known], wanted: dict[int, Target]) -> list[int]:
    """Point each series to the narrow series of its attribution; returns those that were pointed elsewhere."""
    apart = {one: wanted[one] for one in wanted if wanted[one] != wanted[known[one].base]}
    keys = {(known[one].base, target): _key(known[known[one].base].key, target) for one, target in apart.items()}
    ids = _narrow_ids(team_id, keys)
    moved = []
    for one in sorted(wanted):
        right = ids[keys[known[one].base, apart[one]]] if one in apart else known[one].base
        if right != known[one].narrow_id:
            moved.append((one, right))
    if moved:
        with connection.cursor() as cursor:
            cursor.execute(_POINT, [*map(list, zip(*moved, strict=True)), team_id])
    return [one for one, _ in moved]


def _key(base: UUID, target: Target) -> UUID:
    """Names the narrow series of one attribution: the same in every process."""
    text = "\0".join(("attributed", str(base), *target))
    return UUID(bytes=blake2b(text.encode(), digest_size=16).digest())


def _narrow_ids(team_id: int, keys: dict[tuple[int, Target], UUID]) -> dict[UUID, int]:
    if not keys:
        return {}
    rows = [(base, key, *target) for (base, target), key in sorted(keys.items())]
    with connection.cursor() as cursor:
        cursor.execute(_NARROW, [*map(list, zip(*rows, strict=True)), team_id])
        cursor.execute(
            "SELECT key, id FROM usage_series WHERE team_id = %s AND key = ANY(%s)", [team_id, list(keys.values())]
        )
        return dict(cursor.fetchall())


def _mark(team_id: int, series: list[int]) -> None:
    """Have the buckets of these series computed again, as far back as their events are kept."""
    if not series:
        return
    now = timezone.now()
    minutes = partitions.minute_horizon(now)
    raw = partitions.raw_horizon(now).replace(hour=0, minute=0, second=0, microsecond=0)
    bounds: tuple[tuple[str, int, list[Any]], ...] = (
        ("usage_minute", RollupMark.MINUTE, [minutes, now + partitions.AHEAD]),
        ("usage_hour", RollupMark.HOUR, [raw, minutes]),
    )
    with connection.cursor() as cursor:
        for table, tier, window in bounds:
            cursor.execute(
                f"SELECT DISTINCT bucket FROM {table}"
                " WHERE team_id = %s AND series_id = ANY(%s::bigint[]) AND bucket >= %s AND bucket < %s",
                [team_id, series, *window],
            )
            mark(cursor, team_id, tier, {bucket for (bucket,) in cursor.fetchall()})
