"""Which costs are shared out: changes with their audit entry."""

from django.db import transaction

from accounts.actions import Author, audit
from budgets.models import SharedCost


def share_cost(*, author: Author, dimension: str, value: str, method: str) -> SharedCost:
    """Share the cost of a group out over the others, or change how."""
    with transaction.atomic():
        before = SharedCost.objects.select_for_update().filter(dimension=dimension, value=value).first()
        old = before.method if before else None
        found, _ = SharedCost.objects.update_or_create(dimension=dimension, value=value, defaults={"method": method})
        _audit(author, "shared_cost.set", found, {"method": old} if old else None, {"method": method})
    return found


def keep_cost(*, author: Author, shared: SharedCost) -> None:
    """No longer share the cost of a group out."""
    with transaction.atomic():
        _audit(author, "shared_cost.removed", shared, {"method": shared.method}, None)
        shared.delete()


def _audit(author: Author, action: str, shared: SharedCost, before: dict | None, after: dict | None) -> None:
    audit(
        action=action,
        target=f"{shared.get_dimension_display()} {shared.value}",
        before=before,
        after=after,
        **author.signature,
    )
