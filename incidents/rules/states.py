"""The way of an incident: declared → triaging → mitigating → monitoring → resolved → learned, and its clocks. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

DECLARED, TRIAGING, MITIGATING, MONITORING = "declared", "triaging", "mitigating", "monitoring"
RESOLVED, LEARNED = "resolved", "learned"
OPEN = (DECLARED, TRIAGING, MITIGATING, MONITORING)
WAY = (*OPEN, RESOLVED, LEARNED)
# Where an incident goes when it is opened again: the cause was not found.
REOPENED = TRIAGING


@dataclass(frozen=True)
class Moments:
    """The times of an incident; None where it has not come to that."""

    impact_started_at: datetime
    detected_at: datetime
    acknowledged_at: datetime | None = None
    mitigated_at: datetime | None = None
    resolved_at: datetime | None = None


@dataclass(frozen=True)
class Clock:
    """One of the four times, e.g. "TTM"; `length` None: it is still running or was never stopped."""

    name: str
    words: str
    length: timedelta | None
    since: datetime


def next_states(state: str) -> tuple[str, ...]:
    """Where one can go from `state`: on, or back while it is open; the next step first."""
    if state in OPEN:
        later = WAY[WAY.index(state) + 1 : WAY.index(RESOLVED) + 1]
        return (*later, *(one for one in OPEN[1:] if WAY.index(one) < WAY.index(state)))
    return {RESOLVED: (LEARNED, REOPENED), LEARNED: (REOPENED,)}[state]


def stamps(moments: Moments, to: str, at: datetime, by_person: bool) -> dict[str, Any]:
    """The times that moving to `to` at `at` sets or takes back.

    The first act of a person acknowledges. Monitoring means that the impact is over; who goes back says it is not.
    A resolved incident that was never monitored was mitigated by its resolution.
    """
    found: dict[str, Any] = {}
    if by_person and moments.acknowledged_at is None:
        found["acknowledged_at"] = max(at, moments.detected_at)
    if to in (DECLARED, TRIAGING, MITIGATING):
        found["mitigated_at"] = None
    elif moments.mitigated_at is None:
        found["mitigated_at"] = max(at, moments.detected_at)
    if to in OPEN:
        return found | {"resolved_at": None, "learned_at": None}
    if to == RESOLVED:
        return found | {"resolved_at": max(at, moments.detected_at), "learned_at": None}
    return found | {"learned_at": at}


def clocks(moments: Moments) -> list[Clock]:
    """Time to detect counts from the beginning of the impact; to acknowledge, mitigate and resolve from detection."""
    begun, detected = moments.impact_started_at, moments.detected_at
    rows = (
        ("TTD", "to detect", begun, detected),
        ("TTA", "to acknowledge", detected, moments.acknowledged_at),
        ("TTM", "to mitigate", detected, moments.mitigated_at),
        ("TTR", "to resolve", detected, moments.resolved_at),
    )
    return [Clock(name, words, until - since if until else None, since) for name, words, since, until in rows]


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(name, before, after) of what differs."""
    return [(name, before.get(name), value) for name, value in after.items() if before.get(name) != value]
