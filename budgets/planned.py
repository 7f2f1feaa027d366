"""Writes of planned events, each with its audit row in the same transaction."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.actions import Author, audit
from budgets.models import PlannedEvent

FACTS = ("name", "team", "feature", "tenant", "environment", "starts_on", "ends_on", "factor")


def plan_event(*, author: Author, **facts: Any) -> PlannedEvent:
    """A new event; `facts` are the fields of FACTS, those left out are any."""
    with transaction.atomic():
        event = PlannedEvent.objects.create(created_by=author.user, **facts)
        _audit("planned_event.added", event, author, before=None, after=facts_of(event))
    return event


def change_event(*, author: Author, event: PlannedEvent, **facts: Any) -> PlannedEvent:
    """Change some facts. Nothing is written where nothing differs."""
    with transaction.atomic():
        event = PlannedEvent.objects.select_for_update().get(pk=event.pk)
        before = facts_of(event)
        for name, value in facts.items():
            setattr(event, name, value)
        if facts_of(event) != before:
            event.save()
            _audit("planned_event.changed", event, author, before=before, after=facts_of(event))
    return event


def remove_event(*, author: Author, event: PlannedEvent) -> None:
    """Forecasts no longer know it. Removing twice is removing once."""
    with transaction.atomic():
        event = PlannedEvent.objects.select_for_update().get(pk=event.pk)
        if event.removed_at is None:
            event.removed_at = timezone.now()
            event.save()
            _audit("planned_event.removed", event, author, before=facts_of(event), after=None)


def facts_of(event: PlannedEvent) -> dict[str, str]:
    """The event in words for the audit log."""
    return {
        "name": event.name,
        "team": event.team.slug if event.team else "",
        "feature": event.feature,
        "tenant": event.tenant,
        "environment": event.environment,
        "starts_on": event.starts_on.isoformat(),
        "ends_on": event.ends_on.isoformat(),
        "factor": f"{event.factor.normalize():f}",
    }


def _audit(action: str, event: PlannedEvent, author: Author, before, after) -> None:
    audit(
        action=action,
        target=event.name,
        team=event.team,
        before=before,
        after=after,
        **author.signature,
    )
