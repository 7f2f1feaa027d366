"""The settings pages' tabs and the audit log's facts, for templates."""

from allauth.account.adapter import get_adapter
from django import template
from django.urls import reverse

from accounts.access import can, can_anywhere
from accounts.models import AuditEntry
from accounts.rules import changed_facts

register = template.Library()


@register.simple_tag(takes_context=True)
def settings_tabs(context, current: str) -> list[tuple[str, str, bool]]:
    """(name, address, whether it is the current one) of the settings pages the viewer can open."""
    user = context["request"].user
    tabs = [("You", "profile"), ("Teams and keys", "teams")]
    if can(user, "member.manage"):
        tabs.append(("Organisation", "organisation"))
    if can_anywhere(user, "audit.read"):
        tabs.append(("Audit log", "audit"))
    return [(name, reverse(page), page == current) for name, page in tabs]


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
