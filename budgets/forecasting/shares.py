"""How much of a subject a planned event is about: all of it, a part that was measured, or nothing."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from budgets.forecasting.subjects import Subject
from budgets.models import Budget, PlannedEvent
from budgets.queries.used import Ask, used
from budgets.rules.outlook import Event
from usage.models.scopes import SCOPE_FIELDS

MEASURED_DAYS = 28


def events_of(subjects: Sequence[Subject], events: Sequence[PlannedEvent], now: datetime) -> dict[Subject, list[Event]]:
    """The events that act on each subject. A launch of one team lifts all teams' spend by its share of it.

    The share is that of the last four weeks, in the subject's unit; a slice with no use in them has none to tell.
    """
    parts = {(subject, event): common(subject.budget, event) for subject in subjects for event in events}
    measured = _shares([(s, part) for (s, _), part in parts.items() if part and not same(s.budget, part)], now)
    found: dict[Subject, list[Event]] = {subject: [] for subject in subjects}
    for (subject, event), part in parts.items():
        if part:
            share = 1.0 if same(subject.budget, part) else measured[(subject, key_of(part))]
            found[subject].append(event.rule(share))
    return found


def common(budget: Budget, event: PlannedEvent) -> Budget | None:
    """The calls both are about, as an unsaved budget; None where there are none."""
    part = Budget(team=budget.team or event.team, unit=budget.unit)
    if budget.team_id and event.team_id and budget.team_id != event.team_id:
        return None
    for name in SCOPE_FIELDS:
        ours, theirs = getattr(budget, name), getattr(event, name)
        if ours and theirs and ours != theirs:
            return None
        setattr(part, name, ours or theirs)
    return part


def key_of(scope: Budget) -> tuple:
    """The slice as a value."""
    return (scope.team_id, *(getattr(scope, name) for name in SCOPE_FIELDS))


def same(one: Budget, other: Budget) -> bool:
    return key_of(one) == key_of(other)


def _shares(pairs: Iterable[tuple[Subject, Budget]], now: datetime) -> dict[tuple[Subject, tuple], float]:
    start = (now - timedelta(days=MEASURED_DAYS)).replace(minute=0, second=0, microsecond=0)
    end = now.replace(minute=0, second=0, microsecond=0)
    asks = {
        (subject, key_of(part)): (Ask(part, part.unit, start, end), Ask(subject.budget, part.unit, start, end))
        for subject, part in pairs
    }
    amounts = used([ask for both in asks.values() for ask in both], now)
    return {
        key: float(amounts[part].amount / amounts[whole].amount) if amounts[whole].amount else 0.0
        for key, (part, whole) in asks.items()
    }
