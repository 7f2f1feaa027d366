"""An assessment: everything triage says of one window."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from incidents.queries.triage import Asked, began, changes_near, picture
from incidents.rules.triage.modes import Ranked, confidence, rank
from incidents.rules.triage.picture import Baseline, Impact, Move, Picture, Recent, moves, telling
from incidents.rules.triage.radius import Radius, radius
from incidents.rules.triage.signals import BY_NAME
from incidents.rules.triage.signs import Case
from usage.queries.spend import one_snapshot
from usage.rules.finding import lead as lead_text
from usage.rules.onset import NEAR, Onset, Suspect, suspects
from usage.rules.spend import Window

# Signals that say where it comes from, rather than what follows from it.
TELLING = (
    "calls_fail", "limited", "empty", "weak", "tools", "policy", "invalid", "refused", "tokens", "uncited", "slow",
    "requests_fail", "blocked", "retries",
)  # fmt: skip
CARRIES = 0.1  # share of what is bad that a value must carry to be one that the slice is mostly made of
SCOPED = ("team", "environment", "service", "feature")
SHORTEST = timedelta(minutes=5)


@dataclass(frozen=True)
class Assessment:
    """The answer. `radius` is that of the first mode's signal; None where nothing moved.

    modes: every failure mode but "other", best supported first. onset: when it began as the figures have it.
    """

    window: Window
    at: datetime
    baseline: Baseline
    impact: Impact
    modes: list[Ranked]
    confidence: Literal["clear", "likely", "none"]
    moves: dict[str, Move]
    radius: Radius | None
    onset: Onset | None
    suspects: list[Recent]
    picture: Picture

    @property
    def first(self) -> Ranked:
        return self.modes[0]

    def of(self, mode: str) -> Ranked:
        """The rank of one mode. Raises KeyError for "other" and what is none."""
        return {one.mode.value: one for one in self.modes}[mode]

    def radius_of(self, mode: str) -> Radius | None:
        """The blast radius of one mode's signal; None where none of its signals moved."""
        ranked = self.of(mode)
        return _radius(self.picture, ranked.lead) if ranked.lead else None


def assess(
    *, team_ids: tuple[int, ...], scope: dict[str, list[str]], start: datetime, end: datetime, at: datetime
) -> Assessment:
    """Evaluate the triage tree on the telemetry of [start, end). Raises QueryError where it cannot be read.

    scope: dimension → values, the slice it is about; values of model calls and tools in it hide nothing else. `at` is
    now. The number of queries is fixed; all see one snapshot.
    """
    asked = Asked(tuple(team_ids), scope, Window(start, max(end, start + SHORTEST)), at)
    with one_snapshot():
        return _assessed(asked)


def _assessed(asked: Asked) -> Assessment:
    seen = picture(asked)
    moved = moves(seen)
    signal = telling(moved, TELLING)
    where = _radius(seen, signal) if signal else None
    first, step = began(asked, where) if where else (None, NEAR)
    at = max(first.at, asked.window.start - NEAR) if first else asked.window.start
    recent = _recent(asked, seen, where, at, step if first else NEAR)  # without a step it may have begun later too
    modes = rank(Case(seen, moved, where, recent))
    lead = modes[0].lead
    if where and lead and lead != signal:
        where = _radius(seen, lead)
    sure = confidence(modes)
    return Assessment(
        asked.window, asked.at, seen.baseline, seen.impact, modes, sure, moved, where, first, recent, seen
    )


def _radius(seen: Picture, name: str) -> Radius:
    signal = BY_NAME[name]
    table = next(one for one in seen.tables if one.knows(signal))
    if table is not seen.table:
        return radius(signal, table)
    return radius(signal, seen.wide, seen.tenants if seen.wide is seen.table else None, seen.before, seen.told)


# --- Suspects -------------------------------------------------------------------------------------------------------
def _recent(asked: Asked, seen: Picture, where: Radius | None, at: datetime, step: timedelta) -> list[Recent]:
    """Recorded changes near the onset, likeliest first, with the reason."""
    inside = _inside(seen, where)
    new: dict[str, set[str]] = {}
    for one in where.new if where else []:
        new.setdefault(one.dimension, set()).add(one.value)
    found = suspects(changes_near(asked, at, step), at, step, inside, new)
    return [_told(one, step) for one in found]


def _inside(seen: Picture, where: Radius | None) -> dict[str, set[str]]:
    """Dimension → the values that carry the blast radius, for a marker to name."""
    if where is None or not seen.wide.knows(where.signal):
        return {}
    table, bad = seen.wide, seen.wide.column("now", where.signal.bad)
    known = [clause for clause in where.clauses if all(name in table.dimensions for name, _ in clause)]
    places = sorted({place for clause in known for place in table.matching(clause)}) or list(range(len(table.keys)))
    whole = int(bad[places].sum())
    return {
        name: {
            value
            for value, own in table.by_dimension[name].items()
            if whole and int(bad[sorted(set(own) & set(places))].sum()) >= CARRIES * whole
        }
        for name in SCOPED
        if name in table.dimensions
    }


def _told(one: Suspect, step: timedelta) -> Recent:
    closeness = 2.0 ** -(abs(one.lead) / max(NEAR, 3 * step))
    kinds = [name for name in one.matches if name not in ("team", "environment")]
    names = [f"it names {name.replace('_', ' ')} {one.change.names[name]}" for name in kinds]
    names += [f"it brought the new {name.replace('_', ' ')}" for name in one.named]
    began_at = "when it began" if lead_text(one, step) == "right at" else _side(lead_text(one, step))
    why = f"{began_at}{'; ' + ' and '.join(names) if names else ''}"
    return Recent(
        one.change.id,
        one.change.at,
        one.change.kind,
        one.change.title,
        one.lead,
        closeness,
        one.strong,
        why,
        one.change.url,
    )


def _side(text: str) -> str:
    """ "14 min after" of the onset said of the change: the change lies 14 min before."""
    length, _, word = text.rpartition(" ")
    return f"{length} before it began" if word == "after" else f"{length} after it began"
