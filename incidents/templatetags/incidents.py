"""What incident pages say about incidents."""

from datetime import datetime

from django import template

from accounts.models import User
from aiops_site import formats
from incidents.models import Incident

register = template.Library()


@register.filter
def lasted(incident: Incident, now: datetime) -> str:
    """How long the impact lasted, or lasts: until it was mitigated, else resolved, else now."""
    return formats.span_text((incident.mitigated_at or incident.resolved_at or now) - incident.impact_started_at)


@register.filter
def commander(incident: Incident) -> User | None:
    """Who commands it now; the roles must be prefetched (`with_roles`)."""
    held = [role for role in incident.roles.all() if role.until is None and role.role == "commander"]
    return held[0].user if held else None
