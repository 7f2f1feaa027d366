"""The optimisation backlog: each change with its audit entry in one transaction."""

from typing import Any

from django.db import transaction

from accounts.actions import Author, audit
from accounts.models import Team
from budgets.models import BacklogItem
from budgets.rules.suggest import Suggestion

FACTS = ("idea", "monthly_saving", "effort_weeks", "quality_risk", "validation_plan", "owner", "state")


def facts_of(item: BacklogItem) -> dict[str, Any]:
    amounts = {name: f"{getattr(item, name):f}" for name in ("monthly_saving", "effort_weeks")}
    return {name: getattr(item, name) for name in FACTS} | amounts


def add_item(*, author: Author, team: Team | None, facts: dict[str, Any]) -> BacklogItem:
    """A new idea of a person."""
    with transaction.atomic():
        item = BacklogItem.objects.create(team=team, **facts)
        _audit(author, "backlog.added", item, None, facts_of(item))
    return item


def accept(*, author: Author, team: Team, suggestion: Suggestion) -> BacklogItem:
    """A suggestion becomes an item, its arithmetic frozen; accepted twice, it is the same item."""
    with transaction.atomic():
        item, fresh = BacklogItem.objects.get_or_create(
            team=team,
            source=suggestion.key,
            defaults={
                "idea": suggestion.idea[:200],
                "monthly_saving": suggestion.saving,
                "effort_weeks": suggestion.effort,
                "quality_risk": suggestion.risk,
                "validation_plan": suggestion.plan,
                "owner": (author.user.email if author.user else "")[:100],
                "arithmetic": suggestion.arithmetic,
            },
        )
        if fresh:
            _audit(author, "backlog.accepted", item, None, facts_of(item) | {"arithmetic": item.arithmetic})
    return item


def edit_item(*, author: Author, item: BacklogItem, facts: dict[str, Any]) -> BacklogItem:
    with transaction.atomic():
        found = BacklogItem.objects.select_for_update(of=("self",)).get(pk=item.pk)
        before = facts_of(found)
        for name, value in facts.items():
            setattr(found, name, value)
        found.save()
        if before != facts_of(found):
            _audit(author, "backlog.edited", found, before, facts_of(found))
    return found


def remove_item(*, author: Author, item: BacklogItem) -> None:
    """Delete it; a suggestion it came from is made again where the figures still say so."""
    with transaction.atomic():
        _audit(author, "backlog.removed", item, facts_of(item), None)
        item.delete()


def _audit(author: Author, action: str, item: BacklogItem, before: dict | None, after: dict | None) -> None:
    audit(
        action=action,
        target=item,
        team=item.team,
        before=before,
        after=after,
        **author.signature,
    )
