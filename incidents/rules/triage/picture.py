"""What triage looks at: the window's counters beside its baseline's, and what else is known of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from incidents.rules.triage.signals import BY_NAME, SIGNALS, Reading, Signal, score
from incidents.rules.triage.tables import Place, Table, whole
from usage.rules.spend import Window

NEARLY = 0.15  # strengths that do not differ enough to tell one place from the other
LOOKED_AT = 40


@dataclass(frozen=True)
class Baseline:
    """What the window is compared with: the same hours of so many earlier weeks, the stretch before, or nothing."""

    kind: Literal["weeks", "before", "none"]
    windows: tuple[Window, ...] = ()

    @property
    def length(self) -> timedelta:
        return sum((one.end - one.start for one in self.windows), timedelta())

    @property
    def label(self) -> str:
        if self.kind == "weeks":
            count = len(self.windows)
            return f"the same hours of {count} earlier weeks" if count > 1 else "the same hours a week earlier"
        return "the hours before it" if self.kind == "before" else "nothing: there are no earlier figures"


@dataclass(frozen=True)
class Failures:
    """Failed model calls by (error type, provider), and all failed stages by error type."""

    calls: dict[tuple[str, str], int] = field(default_factory=dict)
    stages: dict[str, int] = field(default_factory=dict)

    def share(self, kinds: frozenset[str]) -> float:
        """Share of the failed model calls that are of these error types."""
        failed = sum(self.calls.values())
        return sum(count for (kind, _), count in self.calls.items() if kind in kinds) / failed if failed else 0.0


@dataclass(frozen=True)
class Impact:
    """What people feel of it, now and as usual. None is unknown; cost is by hour, in USD."""

    requests: int
    failed: int
    error_rate: Decimal | None
    usual_error_rate: Decimal | None
    p95: float | None
    usual_p95: float | None
    cost_per_hour: Decimal | None
    usual_cost_per_hour: Decimal | None


@dataclass(frozen=True)
class Picture:
    """Everything read of one window. table: the slice that is asked about; wide: the traffic round it too, for what is
    hit beyond the slice; before: that of the stretch before the window.
    """

    window: Window
    baseline: Baseline
    table: Table
    wide: Table
    tenants: Table
    calls: Table  # slow model calls by provider and model
    talks: Table  # requests and conversations by feature
    before: Table
    failures: Failures
    quota: dict[str, Decimal]  # provider → use of its limit in the busiest minute; those with a limit only
    impact: Impact
    told: frozenset[str] = frozenset()  # words of the changes recorded lately

    @property
    def tables(self) -> tuple[Table, ...]:
        return self.table, self.calls, self.talks, self.tenants

    @property
    def hours(self) -> float:
        return max((self.window.end - self.window.start) / timedelta(hours=1), 1 / 60)

    def reading(self, name: str) -> Reading:
        return whole(self.tables, BY_NAME[name])


@dataclass(frozen=True)
class Move:
    """A signal: what it reads over everything, and the places where it rose most, strongest first."""

    signal: Signal
    overall: Reading
    places: tuple[Place, ...]

    @property
    def place(self) -> Place:
        return self.places[0]

    def place_in(self, values: dict[str, list[str]]) -> Place:
        """The strongest place; among those nearly as strong, one of these values (dimension → values)."""
        near = [one for one in self.places if one.strength >= self.strength - NEARLY]
        return next((one for one in near if one.value in values.get(one.dimension, ())), self.place)

    @property
    def strength(self) -> float:
        return self.place.strength


def moves(picture: Picture) -> dict[str, Move]:
    """Signal → how it moved, of those that have any figures."""
    found = {}
    for signal in SIGNALS:
        places = [place for table in picture.tables for place in table.places(signal)]
        if places:
            ranked = sorted(places, key=lambda one: (-one.strength, -(score(signal, one.reading) or 0.0)))
            found[signal.name] = Move(signal, whole(picture.tables, signal), tuple(ranked[:LOOKED_AT]))
    return found


@dataclass(frozen=True)
class Recent:
    """A change marker near the onset. closeness: 1 at the onset, halved every half hour; names_it: speaks of the slice
    itself, not only of its team.
    """

    id: int
    at: datetime
    kind: str
    title: str
    lead: timedelta
    closeness: float
    names_it: bool
    why: str
    url: str = ""

    @property
    def strength(self) -> float:
        return self.closeness * (1.0 if self.names_it else 0.25)


def telling(found: Mapping[str, Move], names: Sequence[str]) -> str:
    """The signal to follow, of `names` in order of how near to a cause they are: the strongest; among those nearly as
    strong, the first. "" where none of them moved.
    """
    strengths = {name: found[name].strength for name in names if name in found and found[name].strength > 0}
    top = max(strengths.values(), default=0.0)
    return next((name for name, strength in strengths.items() if strength >= top - NEARLY), "")
