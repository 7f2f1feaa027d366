"""The guard's statements (functions of migration guard_functions): each one round trip, in autocommit."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.db import InterfaceError, OperationalError, connection
from msgspec import Struct

DEADLOCK = "40P01"


class Told(Struct, gc=False):
    """What guard_decide answers. `option`, `budget` and `rate` count from 1; 0 or None is none of them."""

    status: str
    option: int = 0
    output: int = 0
    input: int | None = None
    usd: Decimal | None = None
    code: str = ""
    budget: int | None = None
    rate: int | None = None
    wait: int | None = None
    expires: datetime | None = None
    used: list[Decimal] = []
    reserved: list[Decimal] = []
    carried: list[Decimal] = []
    stale: list[bool] = []
    same: bool = True
    provider: str = ""
    model: str = ""
    decision: str = ""
    mode: str = ""


class Closed(Struct, gc=False):
    """What guard_settle, guard_release and guard_extend answer."""

    status: str
    state: str = ""
    cost_usd: Decimal | None = None
    estimate_usd: Decimal | None = None
    expires: datetime | None = None
    closed: datetime | None = None
    from_events: bool = False
    client_known: bool = False


_told = msgspec.json.Decoder(Told).decode
_closed = msgspec.json.Decoder(Closed).decode

_DECIDE = (
    "SELECT guard_decide(%s, %s, %s, %s, %s, %s, %s::bigint[], %s::text[], %s, %s, %s::interval,"
    " %s::bigint[], %s::bigint[], %s::numeric[], %s::boolean[], %s::boolean[], %s::text[],"
    " %s::text[], %s::bigint[], %s::bigint[], %s::bigint[],"
    " %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::numeric[], %s::numeric[],"
    " %s::text[], %s::text[], %s::boolean[], %s::boolean[], %s, %s)"
)


def decide(*, check: bool, hold: UUID, again: bool, rest: Sequence[Any]) -> Told:
    """Ask and, unless it is a check, reserve. `rest`: from p_digest on.

    A connection that turns out to be dead is replaced and the request sent again, which is safe: it names its hold.
    """
    try:
        return _told(_ask(_DECIDE, [check, hold, again, *rest]))
    except (OperationalError, InterfaceError) as exc:
        if not _may_repeat(exc):
            raise
        return _told(_ask(_DECIDE, [check, hold, True, *rest]))


def settle(
    key_id: int, team_id: int, hold: UUID, usd: Decimal | None, tokens: int | None, at: datetime | None
) -> Closed:
    return _close(
        "SELECT guard_settle(%s, %s, %s, %s::numeric, %s::bigint, %s)", [key_id, team_id, hold, usd, tokens, at]
    )


def release(key_id: int, team_id: int, hold: UUID, at: datetime | None) -> Closed:
    return _close("SELECT guard_release(%s, %s, %s, %s)", [key_id, team_id, hold, at])


def extend(key_id: int, team_id: int, hold: UUID, ttl: int, at: datetime | None) -> Closed:
    return _close("SELECT guard_extend(%s, %s, %s, %s, %s)", [key_id, team_id, hold, ttl, at])


def _close(sql: str, parameters: list[Any]) -> Closed:
    """All of these may be repeated: what is closed stays as it was closed."""
    try:
        return _closed(_ask(sql, parameters))
    except (OperationalError, InterfaceError) as exc:
        if not _may_repeat(exc):
            raise
        return _closed(_ask(sql, parameters))


def _ask(sql: str, parameters: list[Any]) -> str:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]


def _may_repeat(exc: Exception) -> bool:
    """Whether the connection was lost, or PostgreSQL gave this one up for another: not when the server is away."""
    if connection.in_atomic_block:
        return False
    if getattr(exc.__cause__, "sqlstate", None) == DEADLOCK:
        return True
    if connection.connection is None or not connection.connection.closed:
        return False
    connection.close()
    return True
