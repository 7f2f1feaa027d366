"""Writing the owner matrix."""

from django.db import transaction

from accounts.actions import Author, audit
from incidents.models import Responsibility


def add_responsibility(*, author: Author, cell: Responsibility) -> None:
    """Save a checked cell with its audit row."""
    with transaction.atomic():
        cell.save()
        _audit(author, cell, "responsibility.add", after=_facts(cell))


def remove_responsibility(*, author: Author, cell: Responsibility) -> None:
    with transaction.atomic():
        _audit(author, cell, "responsibility.remove", before=_facts(cell))
        cell.delete()


def _facts(cell: Responsibility) -> dict[str, str]:
    return {"feature": cell.feature, "duty": cell.duty, "who": cell.who}


def _audit(author: Author, cell: Responsibility, action: str, **facts) -> None:
    audit(**author.signature, action=action, target=cell, team=cell.team, **facts)
