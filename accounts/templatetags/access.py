"""The settings pages' tabs and the audit log's facts, for templates."""

from allauth.account.adapter import get_adapter
from django import template
from django.urls import reverse

from accounts.access import can, can_anywhere, visible_teams
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


@register.inclusion_tag("components/empty.html", takes_context=True)
def first_run(context, title: str, why: str, curl: str) -> dict[str, str]:
    """What a page shows before the first event: the next step that this viewer can take."""
    user = context["request"].user
    if not visible_teams(user).exists():
        return first_team(context)
    if not can_anywhere(user, "api_key.manage"):
        return {
            "title": title,
            "why": f"{why} An admin of your team makes a key with the scope “ingest”.",
            "curl": curl,
        }
    return {
        "title": title,
        "why": f"{why} Replace YOUR_KEY by a key with the scope “ingest”, made in the settings of a team.",
        "curl": curl,
        "action_url": reverse("teams"),
        "action_label": "Make a key",
    }


@register.inclusion_tag("components/empty.html", takes_context=True)
def first_team(context) -> dict[str, str]:
    """What a page about the things of a team shows to somebody who is in none."""
    if not can(context["request"].user, "team.manage"):
        why = "An admin of your organisation gives you a role in a team; its traffic then shows up here."
        return {"title": "You are in no team yet", "why": why}
    return {
        "title": "First, a team",
        "why": "Every event, key and figure belongs to a team. It takes a name; then make a key and send an event.",
        "action_url": reverse("team_create"),
        "action_label": "Create the first team",
    }


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
