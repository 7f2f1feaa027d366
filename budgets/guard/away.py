"""What callers are told while the database is away: what the budgets of their call say about that, from memory."""

from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Any

from django.utils import timezone

from accounts.api import database_unavailable
from accounts.models import ApiKey
from budgets.guard import snapshot
from budgets.guard.requests import Reserve
from budgets.guard.snapshot import Snapshot
from budgets.rules.stance import stance_of

RETRY_SECONDS = 1
CODE = "desk_unavailable"


# SQLSTATEs of a statement that waited too long or was given up, by a server that is there.
BUSY_STATES = frozenset({"55P03", "40P01", "57014"})


class Away(Exception):
    """The database was away a moment ago, and another request is trying it."""


@dataclass
class Probe:
    """Keeps requests from queueing up for a database that is away: one at a time tries, the others are told at once."""

    until: float = 0.0
    _one = Lock()

    def enter(self) -> bool:
        """Whether this request is the one that tries. Raises Away for the others while the database is away."""
        if not self.until:
            return False
        if monotonic() < self.until or not self._one.acquire(blocking=False):
            raise Away
        return True

    def leave(self, *, trying: bool, away: bool) -> None:
        if away:
            self.until = monotonic() + RETRY_SECONDS
        elif trying:
            self.until = 0.0
        if trying:
            self._one.release()


probe = Probe()


def is_away(exc: Exception) -> bool:
    """Whether it was the server that failed, so that the next request would fail too."""
    return database_unavailable(exc) and getattr(exc.__cause__, "sqlstate", None) not in BUSY_STATES


def fallback(key: ApiKey, request: Reserve) -> dict[str, Any]:
    """What to do now: `decision` allow or deny by the fail policies, null where this process knows no budgets yet."""
    held = snapshot.held()
    if held is None:
        return {
            "decision": None,
            "fail": "unknown",
            "message": "This process has not seen any budget yet: go by your own fail policy.",
        }
    if stopped := _stopped(held, key, request):
        return {"decision": "deny", "fail": "closed", "message": f"Stopped by a control: {stopped}"}
    closed = any(one.budget.on_failure == "closed" for one in held.budgets.over(key.team_id, _facts(key, request)))
    if closed:
        return {"decision": "deny", "fail": "closed", "message": "A budget of this call fails closed."}
    return {"decision": "allow", "fail": "open", "message": "The budgets of this call fail open; nothing is reserved."}


def _stopped(held: Snapshot, key: ApiKey, request: Reserve) -> str:
    now = timezone.now()
    controls = [
        one
        for one in held.controls.over(key.team_id, _facts(key, request))
        if one.expires_at is None or one.expires_at > now
    ]
    denied = stance_of(controls, request.queue_class).denied
    return denied.reason if denied is not None else ""


def _facts(key: ApiKey, request: Reserve) -> tuple[str, ...]:
    return (
        request.feature,
        request.tenant,
        key.environment or request.environment,
        request.user_hash,
        request.provider,
        request.model,
        request.cost_center,
    )
