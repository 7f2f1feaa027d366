"""What incident pages say about incidents."""

from datetime import datetime, timedelta
from decimal import Decimal

from django import template

from accounts.models import User
from aiops_site import formats
from incidents.models import Incident

register = template.Library()


@register.filter
def lasted(incident: Incident, now: datetime) -> str:
    """How long the impact lasted, or lasts: until it was mitigated, else resolved, else now."""
    return formats.in_minutes((incident.mitigated_at or incident.resolved_at or now) - incident.impact_started_at)


@register.filter
def commander(incident: Incident) -> User | None:
    """Who commands it now; the roles must be prefetched (`with_roles`)."""
    held = [role for role in incident.roles.all() if role.until is None and role.role == "commander"]
    return held[0].user if held else None


@register.filter
def span(length: timedelta) -> str:
    """A length of time: 2 h 5 min."""
    return formats.span_text(length)


@register.filter
def running(since: datetime, now: datetime) -> str:
    """How long a clock runs by now."""
    return formats.in_minutes(now - since)


@register.filter
def scope_words(incident: Incident) -> str:
    """The slice in words: "feature answers, search; provider openai"."""
    return slice_words(incident.scope)


@register.filter
def slice_words(scope: dict[str, list[str]]) -> str:
    """Dimension → values in words."""
    return "; ".join(f"{name.replace('_', ' ')} {', '.join(values)}" for name, values in scope.items())


@register.filter
def less(amount: Decimal) -> Decimal:
    """The amount without its sign."""
    return abs(amount)


@register.filter
def safe_url(url: str) -> str:
    """A path of the desk or a web address; "" for anything that would run in the page (javascript: and the like)."""
    return url if url.startswith(("/", "https://", "http://")) else ""
