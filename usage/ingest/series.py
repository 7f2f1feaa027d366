"""Which series an event belongs to: looked up in a cache of this process, made when it is new.

A series is made in a short transaction of its own before the ingest transaction, so a hot combination never makes two
writers wait for long; a series nobody came to use is harmless. Its key is a digest of its values, so that two
processes that make the same one agree without talking.
"""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import connection, transaction

from usage.attribution.apply import apply_to_new, lock_series
from usage.attribution.keys import series_of_key
from usage.ingest.checks import dimensions_problem, settled
from usage.ingest.problems import Problem
from usage.measures import DIMENSIONS, MODEL_OPERATIONS, NARROW_DIMENSIONS, WRAPPER_OPERATIONS

# Whether the event is an entry (bool), then the dimensions: as the client sent them (str or None), and settled (str).
RawKey = tuple[Any, ...]
Key = tuple[Any, ...]

OVERFLOW = "(overflow)"
# Beyond SERIES_LIMIT these are folded for new combinations: they are the ones a careless client fills with ids.
FOLDED = frozenset({"endpoint", "region", "release", "prompt_version", "experiment", "variant", "tool_name", "service"})
# Beyond twice the limit every free text is folded. What is left has a few hundred combinations.
CLOSED = frozenset({"status", "error_type", "initiator"})
# Entries kept per process over all teams, at roughly one kilobyte each.
MEMORY = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """A series and what pricing needs to know of it. `folded`: dimension values that only the event keeps.

    Compared and hashed by identity, which is many times faster than hashing the values of `raw` for every row.
    """

    raw: RawKey
    id: int
    dimensions: dict[str, str]
    model_operation: bool
    wraps_calls: bool
    refused_call: bool
    folded: dict[str, str] | None = None


Known = dict[RawKey, Resolved | Problem]

_known: dict[tuple[int, str, int | None], Known] = {}


def known(team_id: int, environment: str, api_key: int | None = None) -> Known:
    """The cache of a team and a key's environment, to be filled by `learn`. Safe to read without a lock.

    api_key: the key the events came by, where its calls have series of their own.
    """
    if sum(map(len, _known.values())) > MEMORY:
        _known.clear()
    return _known.setdefault((team_id, environment, api_key), {})


def forget(team_id: int) -> None:
    """Drop what is remembered of a team, after its series were found to be gone."""
    for scope in [scope for scope in _known if scope[0] == team_id]:
        _known.pop(scope, None)


def learn(team_id: int, environment: str, wanted: Collection[RawKey], into: Known, api_key: int | None = None) -> None:
    """Find or make the series of combinations not in the cache and add them `into` it; contradictions as problems."""
    keys: dict[RawKey, Key] = {}
    for raw in wanted:
        if problem := dimensions_problem(raw[1:], environment):
            into[raw] = problem
        else:
            keys[raw] = (raw[0], *settled(raw[1:], environment))
    if not keys:
        return
    stored, ids = _stored(team_id, set(keys.values()))
    if api_key is not None:
        own = series_of_key(team_id, api_key, ids.values())
        ids = {key: own[series_id] for key, series_id in ids.items()}
    for raw, key in keys.items():
        into[raw] = _resolved(raw, key, stored[key], ids)


def _resolved(raw: RawKey, key: Key, stored: Key, ids: dict[Key, int]) -> Resolved:
    dimensions: dict[str, str] = dict(zip(DIMENSIONS, key[1:], strict=True))
    kept: dict[str, str] = dict(zip(DIMENSIONS, stored[1:], strict=True))
    folded = {name: value for name, value in dimensions.items() if kept[name] != value}
    return Resolved(
        raw=raw,
        id=ids[stored],
        dimensions=dimensions,
        model_operation=dimensions["operation"] in MODEL_OPERATIONS,
        wraps_calls=dimensions["operation"] in WRAPPER_OPERATIONS,
        # Providers bill an answer, not a refusal; but what timed out may have been answered.
        refused_call=dimensions["status"] in ("error", "blocked") and dimensions["error_type"] != "timeout",
        folded=folded or None,
    )


def _stored(team_id: int, keys: set[Key]) -> tuple[dict[Key, Key], dict[Key, int]]:
    """For each key the one it is stored under (itself, or folded), and the ids of those."""
    ids = _ids(team_id, keys)
    missing = keys - ids.keys()
    stored = {key: key for key in ids}
    if missing:
        count = _count(team_id)
        stored |= {key: _fold(key, count + place) for place, key in enumerate(sorted(missing, key=repr))}
        ids |= _made(team_id, {stored[key] for key in missing})
    return stored, ids


def _count(team_id: int) -> int:
    """How many series the team has; counting stops where everything is folded."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT FROM usage_series WHERE team_id = %s LIMIT %s) s",
            [team_id, 2 * settings.SERIES_LIMIT + 1],
        )
        return cursor.fetchone()[0]


def _fold(key: Key, count: int) -> Key:
    if count < settings.SERIES_LIMIT:
        return key
    everything = count >= 2 * settings.SERIES_LIMIT
    values = (
        OVERFLOW if value and (name in FOLDED or (everything and name not in CLOSED)) else value
        for name, value in zip(DIMENSIONS, key[1:], strict=True)
    )
    return (key[0], *values)


def _narrow(key: Key) -> Key:
    values = (value if name in NARROW_DIMENSIONS else "" for name, value in zip(DIMENSIONS, key[1:], strict=True))
    return (key[0], *values)


def digest(key: Key) -> UUID:
    """The key of a series in the database: the same in every process and release."""
    return UUID(bytes=blake2b(msgspec.json.encode(key), digest_size=16).digest())


def _ids(team_id: int, keys: Collection[Key]) -> dict[Key, int]:
    by_digest = {digest(key): key for key in keys}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT key, id FROM usage_series WHERE team_id = %s AND key = ANY(%s)", [team_id, list(by_digest)]
        )
        return {by_digest[found]: series_id for found, series_id in cursor.fetchall()}


def _made(team_id: int, keys: set[Key]) -> dict[Key, int]:
    """Make series, the narrow ones first, one writer of a team after the other; attributed before anybody sees them."""
    narrow = {key: _narrow(key) for key in keys}
    with transaction.atomic():
        lock_series(team_id)
        fresh = _insert(team_id, dict.fromkeys(set(narrow.values())))
        ids = _ids(team_id, set(narrow.values()))
        fresh += _insert(team_id, {key: ids[narrow[key]] for key in keys if key not in ids})
        apply_to_new(team_id, fresh)
    return ids | _ids(team_id, keys)


# A narrow series points to itself, so its id is drawn before the row is built.
_INSERT = f"""
WITH fresh AS MATERIALIZED (
    SELECT nextval('usage_series_id_seq') AS id, v.*
    FROM unnest(%s::uuid[], %s::bigint[], %s::boolean[], {", ".join(["%s::text[]"] * len(DIMENSIONS))})
        AS v (key, narrow_id, entry, {", ".join(DIMENSIONS)})
)
INSERT INTO usage_series (team_id, id, key, narrow_id, entry, {", ".join(DIMENSIONS)})
SELECT %s, id, key, coalesce(narrow_id, id), entry, {", ".join(DIMENSIONS)} FROM fresh ORDER BY key
ON CONFLICT (team_id, key) DO NOTHING RETURNING id
"""


def _insert(team_id: int, narrow_ids: dict[Key, int | None]) -> list[int]:
    """Insert series that are not there yet; returns the ids of the new ones."""
    if not narrow_ids:
        return []
    rows = sorted((digest(key), narrow_id, *key) for key, narrow_id in narrow_ids.items())
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [*map(list, zip(*rows, strict=True)), team_id])
        return [series_id for (series_id,) in cursor.fetchall()]
