"""Writing the components of the public status page."""

from django.db import transaction

from accounts.actions import Author, audit
from incidents.models import StatusComponent
from incidents.public.kept import forget


def save_component(*, author: Author, component: StatusComponent) -> None:
    """Save a checked component, new or changed, with its audit row."""
    before = StatusComponent.objects.filter(pk=component.pk).first()
    with transaction.atomic():
        component.save()
        _audit(author, component, "status_component.save", before=_facts(before) if before else None)
    forget()


def remove_component(*, author: Author, component: StatusComponent) -> None:
    with transaction.atomic():
        audit(
            **author.signature,
            action="status_component.remove",
            target=component,
            team=component.team,
            before=_facts(component),
        )
        component.delete()
    forget()


def _audit(author: Author, component: StatusComponent, action: str, *, before: dict | None) -> None:
    facts = _facts(component)
    audit(**author.signature, action=action, target=component, team=component.team, before=before, after=facts)


def _facts(component: StatusComponent) -> dict[str, object]:
    team = component.team.slug if component.team else "all"
    return {"name": component.name, "description": component.description, "team": team, "filters": component.filters}
