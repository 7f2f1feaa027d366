"""Where a run is and what it did so far."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

EVENTS, RECHECK, ROLLUPS = "events", "recheck", "rollups"
PASSES = (EVENTS, RECHECK, ROLLUPS)


@dataclass(frozen=True)
class Cursor:
    """The next chunk: pass, team (0: from the first), and the key after which it goes on."""

    stage: str
    team: int
    at: datetime
    event_id: str = ""

    def as_json(self) -> dict:
        return {"pass": self.stage, "team": self.team, "at": self.at.isoformat(), "event": self.event_id}

    @classmethod
    def from_json(cls, value: dict) -> "Cursor":
        at = datetime.fromisoformat(value["at"]).astimezone(UTC)
        return cls(value["pass"], value["team"], at, value["event"])


@dataclass
class Chunk:
    """The outcome of one chunk; `cursor` is where the next begins, None when the pass is over for the team."""

    cursor: Cursor | None
    done: int = 0
    changed: int = 0
    newly_priced: int = 0
    before: Decimal = field(default_factory=Decimal)
    after: Decimal = field(default_factory=Decimal)
    hours: int = 0
    skipped: int = 0
