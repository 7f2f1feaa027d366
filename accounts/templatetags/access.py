"""Rights and audit facts for templates."""

from allauth.account.adapter import get_adapter
from django import template

from accounts.access import can, can_anywhere
from accounts.models import AuditEntry
from accounts.rules import changed_facts

register = template.Library()


@register.simple_tag(takes_context=True)
def rights(context) -> dict[str, bool]:
    """Which settings pages the viewer can open."""
    user = context["request"].user
    return {"organisation": can(user, "member.manage"), "audit": can_anywhere(user, "audit.read")}


@register.simple_tag(takes_context=True)
def signup_is_open(context) -> bool:
    return get_adapter().is_open_for_signup(context["request"])


@register.filter
def changes(entry: AuditEntry) -> list[tuple[str, object, object]]:
    """(name, before, after) of what the entry changed."""
    return changed_facts(entry.before, entry.after)


@register.filter
def fact(value) -> str:
    """One value of an audit entry in words; an empty one says so."""
    if isinstance(value, list):
        return ", ".join(str(one) for one in value) or "none"
    return str(value) if value not in ("", None) else "empty"
