"""One request for a call → allow, degrade or deny."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from secrets import token_bytes
from time import time_ns
from uuid import UUID

import msgspec
from django.db import IntegrityError, OperationalError
from django.utils import timezone

from accounts.models import ApiKey
from budgets.guard import snapshot, statement
from budgets.guard.periods import open_counters, open_periods
from budgets.guard.plan import Plan, make_plan, parameters
from budgets.guard.requests import Refused, Reserve
from budgets.guard.statement import Told

ATTEMPTS = 8


class KeyGone(Exception):
    """The API key was revoked since this process last looked."""


@dataclass(frozen=True)
class Decided:
    """What was decided, with the plan that explains it."""

    plan: Plan
    told: Told
    reservation: UUID | None


def decide(key: ApiKey, request: Reserve, *, check: bool, at: datetime | None = None) -> Decided:
    """Whether the call may be made, and how; unless it is a check, the estimate is reserved for it.

    `at`: the moment to go by, None for now. Raises KeyGone, Refused (409: the idempotency key was used for another
    request) and Django's database errors.
    """
    hold, digest = _identity(key.team_id, request)
    again = digest is not None
    for _ in range(ATTEMPTS):
        plan = make_plan(snapshot.current(), key, request, at or timezone.now())
        if plan.unopened:  # or the budget is not there any more
            if snapshot.load() is plan.snapshot:
                _open(plan, at)
            continue
        try:
            told = statement.decide(check=check, hold=hold, again=again, rest=parameters(plan, key, digest, at))
        except IntegrityError:  # the same idempotency key at the same moment: now the other one's hold is there
            continue
        if told.status == "no_key":
            raise KeyGone
        if told.status == "stale":
            snapshot.load()
        elif told.status == "missing":
            _open(plan, at)
        else:
            return _decided(plan, told, hold, check=check)
    raise OperationalError("what the guard remembers keeps changing")


def _decided(plan: Plan, told: Told, hold: UUID, *, check: bool) -> Decided:
    if told.status == "replayed" and not told.same:
        raise Refused(
            "idempotency_key_reused",
            "This idempotency_key was used for another request.",
            "Use a new key for a new call; for a retry send the same fields again.",
            "idempotency_key",
        )
    held = not check and (told.option > 0 or told.status == "replayed")
    return Decided(plan, told, hold if held else None)


def _open(plan: Plan, at: datetime | None) -> None:
    open_counters([one.key for one in plan.rates])
    open_periods([known.budget for known in plan.budgets], plan.at, at or timezone.now())
    snapshot.load()


def _identity(team_id: int, request: Reserve) -> tuple[UUID, int | None]:
    """The reservation's id, and a digest of the request where the id is made from the caller's idempotency key."""
    if not request.idempotency_key:
        return _ordered_id(), None
    made = sha256(f"{team_id}:{request.idempotency_key}".encode()).digest()[:16]
    content = sha256(msgspec.json.encode(request)).digest()[:8]
    return UUID(bytes=made, version=5), int.from_bytes(content, signed=True)


def _ordered_id() -> UUID:
    """A UUIDv7: new rows go to the end of the index. Nothing relies on the order."""
    parts = bytearray((time_ns() // 1_000_000).to_bytes(6) + token_bytes(10))
    parts[6], parts[8] = parts[6] & 0x0F | 0x70, parts[8] & 0x3F | 0x80
    return UUID(bytes=bytes(parts))
