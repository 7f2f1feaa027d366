"""Other parts of the desk that find things by themselves, and rules of kind anomaly or budget that answer for them.

A room further on registers its source when it is ready; this room imports none of them.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True)
class Episode:
    """One time the source found something: what its alert said. `end` None: it goes on.

    `key` names the condition, `alert` the alert about it: of a budget there is a new one in each period.
    `shown`: what tells it apart on pages, e.g. {"budget": "Support, monthly", "at": "85 %"}.
    """

    key: str
    alert: str
    team_id: int | None
    severity: str
    labels: dict[str, str]
    shown: dict[str, str]
    start: datetime
    end: datetime | None


@dataclass(frozen=True)
class Past:
    """What a source found, or would have found. `since`: from when on it had something to look at; None: nothing.

    `note`: what else to know, in a sentence.
    """

    episodes: list[Episode]
    since: datetime | None
    note: str = ""


@dataclass(frozen=True)
class Course:
    """The figure behind an episode over time, in a unit of incidents.rules.words."""

    unit: str
    points: dict[datetime, Decimal | None]
    threshold: Decimal | None = None


@dataclass(frozen=True)
class Source:
    """`key` is the source_kind of its alerts. `severities`: those it raises; `metrics`, `filters`: the labels its
    alerts may be told apart by.

    `past` takes the teams that may be seen (None among them: the organisation) and the budget that is asked for ("":
    any), `course` an episode; both a window. Without them only the alerts that are kept can be looked at. `budgets`:
    (key, name, team's id) of those a rule may name, of these teams (None: all), where its alerts have that label.
    """

    key: str
    kind: str
    name: str
    severities: tuple[str, ...]
    metrics: dict[str, str] = field(default_factory=dict)
    filters: tuple[str, ...] = ()
    budgets: Callable[[Collection[int | None] | None], Sequence[tuple[str, str, int | None]]] | None = None
    past: Callable[[Collection[int | None], str, datetime, datetime], Past] | None = None
    course: Callable[[Episode, datetime, datetime], Course] | None = None


_KNOWN: dict[str, Source] = {}


def register(source: Source) -> None:
    """Make a source known; again: in place of the one before."""
    _KNOWN[source.key] = source


def known(kind: str = "") -> list[Source]:
    """All of them, or those a rule of this kind answers for, in the order they were registered."""
    return [one for one in _KNOWN.values() if kind in ("", one.kind)]


def source_of(key: str) -> Source | None:
    return _KNOWN.get(key)
