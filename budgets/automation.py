"""What budgets do by themselves: alerts at their thresholds, and modes set and taken back.

It compares what is stored with what should be, so it may run twice, late or not at all, and in whatever order data
came: a budget crossed by late events is crossed. Hard limits do not need it; the guard holds them by itself.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.urls import reverse

from accounts.actions import Author
from budgets.facts import draft_of, plain
from budgets.models import Budget
from budgets.queries.standing import Standing, standings
from budgets.rules.thresholds import Step, reached, severity_of
from budgets.views.shown import amount
from incidents.actions import raise_alert, resolve_alert
from incidents.controls import What, Where, end_control, in_force, set_control
from incidents.models import Alert, Control
from usage.models.scopes import SCOPE_FIELDS

logger = logging.getLogger(__name__)

DESK = Author(label="budgets")
MODES = {"conserve": "conserve", "emergency": "emergency", "block": "blocked"}
STRICTNESS = list(MODES.values())
# A mode is kept at least so long, so that calls do not change their model every few seconds.
DWELL = timedelta(minutes=10)
LEFT = "The budget is below its threshold again, counts other calls now, or has ended."
SOURCE, RUNBOOK = "budget", "cost-spike#containment"
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('budgets.automation'))"


@dataclass(frozen=True)
class Due:
    """A step of a budget that holds now."""

    standing: Standing
    step: Step

    @property
    def origin_key(self) -> str:
        return f"budget:{self.standing.budget.pk}:{self.step.key}"

    @property
    def alert_key(self) -> str:
        """One alert per step and period."""
        return f"{self.origin_key}:{self.standing.start:%Y-%m-%dT%H}"


def evaluate(now: datetime) -> dict[str, int]:
    """Bring alerts and modes in line with where budgets stand; returns how many of each were begun and ended."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_LOCK)
            if not cursor.fetchone()[0]:
                return {}
        budgets = Budget.objects.filter(is_active=True).select_related("team", "owner").prefetch_related("thresholds")
        current = {key: control for control in in_force(now) if (key := _automatic(control))}
        open_keys = set(Alert.objects.filter(source_kind=SOURCE, resolved_at=None).values_list("source_key", flat=True))
        due = list(_due(standings(budgets, now), set(current), open_keys))
        return _alerts(due, open_keys, now) | _modes(due, current, now)


def modes_set(now: datetime) -> dict[int, Control]:
    """By budget: the strictest mode in force that one of its thresholds set."""
    found: dict[int, Control] = {}
    automatic = [one for one in in_force(now) if _automatic(one)]
    for control in sorted(automatic, key=lambda one: STRICTNESS.index(one.mode)):
        found[int(control.origin_key.split(":")[1])] = control
    return found


def _automatic(control: Control) -> str:
    by_us = control.origin in (Control.Origin.THRESHOLD, Control.Origin.BURN_RATE)
    return control.origin_key if by_us and control.origin_key.startswith("budget:") else ""


def _due(found: Iterable[Standing], controls: set[str], alerts: set[str]) -> Iterable[Due]:
    for standing in found:
        for step in draft_of(standing.budget).thresholds:
            one = Due(standing, step)
            entered = one.origin_key in controls or one.alert_key in alerts
            if reached(step, standing.share, standing.elapsed, entered=entered):
                yield one


# --- Alerts -----------------------------------------------------------------------------------------------------
def _apart(act: Callable[[Due, datetime], None], one: Due, now: datetime) -> None:
    """One budget that cannot be acted on must not keep the others from it."""
    try:
        with transaction.atomic():
            act(one, now)
    except (ValidationError, DatabaseError):
        logger.exception("Threshold %s could not be acted on.", one.origin_key)


def _alerts(due: list[Due], open_keys: set[str], now: datetime) -> dict[str, int]:
    wanted = {one.alert_key: one for one in due}
    for key in wanted.keys() - open_keys:
        _apart(_raise, wanted[key], now)
    over = open_keys - wanted.keys()
    for key in over:
        resolve_alert(source_kind=SOURCE, source_key=key, at=now)
    return {"alerts_raised": len(wanted.keys() - open_keys), "alerts_resolved": len(over)}


def _raise(one: Due, now: datetime) -> None:
    budget, (severity, route) = one.standing.budget, severity_of(one.step)
    raise_alert(
        source_kind=SOURCE,
        source_key=one.alert_key,
        team=budget.team,
        severity=severity,
        route=route,
        title=f"{budget.name}: {plain(one.step.percent)} % is used",
        detail=_words(one),
        url=reverse("budget-detail", args=[budget.pk]),
        runbook=RUNBOOK,
        at=now,
        labels={"budget": str(budget.pk), "owner": budget.owner.email if budget.owner else ""},
    )


def _words(one: Due) -> str:
    standing, unit = one.standing, one.standing.budget.unit_label
    return (
        f"{amount(standing.used, unit)} of {amount(standing.limit, unit)} used, "
        f"{standing.elapsed:.0%} of the period is over ({one.step.words}: {one.step.action})."
    )


# --- Modes ------------------------------------------------------------------------------------------------------
def _modes(due: list[Due], current: dict[str, Control], now: datetime) -> dict[str, int]:
    wanted = {one.origin_key: one for one in due if one.step.action in MODES}
    kept = {key for key, one in current.items() if key in wanted and _is_over(one, wanted[key].standing.budget)}
    over = [one for key, one in current.items() if key not in kept and (key in wanted or one.created_at <= now - DWELL)]
    for control in over:
        end_control(author=DESK, control=control, reason=LEFT, at=now)
    begun = [one for key, one in wanted.items() if key not in kept and not _vetoed(one)]
    for one in begun:
        _apart(_begin, one, now)
    return {"modes_begun": len(begun), "modes_ended": len(over)}


def _is_over(control: Control, budget: Budget) -> bool:
    """Whether the control is over the calls that the budget counts; an edit may have moved the budget elsewhere."""
    return all(getattr(control, name) == getattr(budget, name) for name in ("team_id", *SCOPE_FIELDS))


def _vetoed(one: Due) -> bool:
    """A person ended this mode within the period: the desk does not set it again behind their back."""
    return Control.objects.filter(
        origin_key=one.origin_key, ended_by__isnull=False, created_at__gte=one.standing.start
    ).exists()


def _reason(one: Due) -> str:
    """A mode of the organisation's reaches into every team, and its reason with it: there it says no name or figure."""
    budget = one.standing.budget
    if budget.team_id is None:
        return f"A budget of the organisation is beyond its threshold of {one.step.words}."
    return f"Budget “{budget.name}”: {_words(one)}"


def _begin(one: Due, now: datetime) -> None:
    budget = one.standing.budget
    set_control(
        author=DESK,
        where=Where(team=budget.team, **{name: getattr(budget, name) for name in SCOPE_FIELDS}),
        what=What("mode", mode=MODES[one.step.action]),
        reason=_reason(one)[:500],
        expires_at=one.standing.end,
        origin=Control.Origin.THRESHOLD if one.step.before is None else Control.Origin.BURN_RATE,
        origin_key=one.origin_key,
        at=now,
    )
