"""A page climbs until somebody takes it: evaluated on stored state, so a run missed or doubled changes nothing."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.urls import reverse

from accounts.actions import Author, audit
from accounts.models import User
from incidents.actions.alerts import acknowledge as acknowledge_alerts
from incidents.actions.incidents import acknowledge as acknowledge_incident
from incidents.actions.notifying import notify_person
from incidents.actions.timeline import record
from incidents.models import Escalation, EscalationEntry, EscalationPolicy, EscalationStep, TimelineEntry
from incidents.queries.escalations import policy_for, state_of
from incidents.queries.oncall import duty


def evaluate(at: datetime) -> int:
    """End what was answered, page the next step of what was not in time; how many steps were taken."""
    taken = 0
    for pk in Escalation.objects.filter(ended_at=None).order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            open_one = Escalation.objects.select_for_update(skip_locked=True, of=("self",), no_key=True)
            one = open_one.select_related("team", "incident", "alert_group__incident").filter(pk=pk, ended_at=None)
            if (escalation := one.first()) is not None:
                taken += _evaluate(escalation, at)
    return taken


def _evaluate(escalation: Escalation, at: datetime) -> int:
    state = state_of(escalation)
    if state.over:
        _end(escalation, state.over, at, by=state.by)
        return 0
    due = escalation.next_at is not None and escalation.next_at <= at
    policy = policy_for(escalation.team) if due else None
    if policy is None:
        return 0
    steps = list(policy.steps.select_related("rota", "user"))
    if escalation.steps_taken >= len(steps) * policy.rounds:
        escalation.next_at = None
        escalation.save(update_fields=["next_at"])
        _write(escalation, "Nobody answered: every step was gone through.", at)
        return 0
    _take(escalation, policy, steps, at)
    return 1


def _take(escalation: Escalation, policy: EscalationPolicy, steps: list[EscalationStep], at: datetime) -> None:
    number = escalation.steps_taken
    step = steps[number % len(steps)]
    user = step.user if step.user else (duty(step.rota, at).user if step.rota else None)
    told = _page(escalation, user, number, at) if user and user.is_active else 0
    escalation.steps_taken = number + 1
    # Where nobody can be reached there is nothing to wait for.
    escalation.next_at = at + timedelta(minutes=step.minutes) if told else at
    escalation.save(update_fields=["steps_taken", "next_at"])
    level = f"Step {number % len(steps) + 1}, round {number // len(steps) + 1}"
    if told:
        text = f"{level}: {user} is paged and has {step.minutes} min to acknowledge."
    elif user:
        text = f"{level}: {user} cannot be reached, for no channel leads there."
    else:
        text = f"{level}: nobody is on call in {step.rota}."
    _write(escalation, text, at)


def _page(escalation: Escalation, user: User, number: int, at: datetime) -> int:
    group = escalation.alert_group
    facts: dict[str, Any] = {"kind": "page", "team": escalation.team, "severity": escalation.severity, "route": "page"}
    facts |= {"title": escalation.title, "url": reverse("oncall"), "incident": escalation.incident}
    facts |= {"alert_group": group, "key": f"escalation:{escalation.pk}:{number}", "happened_at": at}
    facts["body"] = f"{escalation.body}\n\nAcknowledge it on the desk, or the next person is paged."
    return notify_person(user, fallback=escalation.team, facts=facts)


def _end(escalation: Escalation, reason: str, at: datetime, by: User | None = None) -> None:
    escalation.ended_at, escalation.ended_reason = max(at, escalation.started_at), reason
    escalation.acknowledged_by = by
    escalation.acknowledged_at = escalation.ended_at if by else None
    escalation.save(update_fields=["ended_at", "ended_reason", "acknowledged_by", "acknowledged_at"])
    _write(escalation, reason, at)


def _write(escalation: Escalation, text: str, at: datetime) -> None:
    """Into its history, and the timeline of the incident where there is one."""
    EscalationEntry.objects.create(escalation=escalation, at=at, text=text[:300])
    group = escalation.alert_group
    incident = escalation.incident or (group.incident if group else None)
    if incident:
        number = escalation.history.count()
        key = f"escalation:{escalation.pk}:{number}"
        record(incident, TimelineEntry.Kind.ALERT, f"On call: {text}", at=at, url=reverse("oncall"), source_key=key)


def acknowledge(*, author: Author, escalation: Escalation, at: datetime) -> bool:
    """Take a page: what it is about is acknowledged, and nobody further is paged. False where it had ended."""
    with transaction.atomic():
        one = Escalation.objects.select_for_update(of=("self",), no_key=True).select_related(
            "team", "incident", "alert_group__incident"
        )
        current = one.get(pk=escalation.pk)
        if current.ended_at:
            return False
        _acknowledge(current, author, at)
        _end(current, f"{author.user or author.label} acknowledged it.", at, by=author.user)
        audit(**author.signature, action="escalation.acknowledged", target=current, team=current.team)
    return True


def _acknowledge(escalation: Escalation, author: Author, at: datetime) -> None:
    if escalation.alert_group:
        firing = escalation.alert_group.alerts.filter(resolved_at=None)
        acknowledge_alerts(author=author, alerts=list(firing), at=at)
    if escalation.incident and escalation.incident.is_open:
        acknowledge_incident(author=author, incident=escalation.incident, at=at)
