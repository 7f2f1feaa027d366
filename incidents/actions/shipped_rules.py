"""The alert rules that come with the desk: installed after each migration; what somebody edited is left alone."""

import tomllib
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from django.db import transaction

from incidents.models import AlertRule, RunbookSection

PACK = Path(__file__).resolve().parent.parent / "shipped" / "alert_rules.toml"
# What stands in the file beside the fields of a rule: options of a kind, and what is named by its key.
_OPTIONS = ("declare", "declare_after_change", "floor", "source", "when", "sure", "times_usual")
_NAMED = ("parent", "runbook")


@cache
def shipped_rules() -> dict[str, dict[str, Any]]:
    """Slug → what the file says, numbers exact, parents before their children."""
    return tomllib.loads(PACK.read_text(), parse_float=Decimal)


def install_rules() -> int:
    """Make the rules that are not there, and bring those that nobody edited up to the file; returns how many."""
    sections = {f"{one.runbook.slug}#{one.kind}": one for one in RunbookSection.objects.select_related("runbook")}
    with transaction.atomic():
        known = {rule.slug: rule for rule in AlertRule.objects.filter(slug__in=shipped_rules())}
        changed = 0
        for slug, told in shipped_rules().items():
            rule = known.get(slug) or AlertRule(slug=slug, is_shipped=True)
            if rule.pk and rule.version > 1:
                continue
            changed += _bring_up(rule, _facts(told, sections, known))
            known[slug] = rule
    return changed


def _bring_up(rule: AlertRule, facts: dict[str, Any]) -> int:
    if rule.pk and all(getattr(rule, name) == value for name, value in facts.items()):
        return 0
    for name, value in facts.items():
        setattr(rule, name, value)
    rule.save()
    return 1


def _facts(told: dict[str, Any], sections: dict[str, RunbookSection], known: dict[str, AlertRule]) -> dict[str, Any]:
    fields = {name: value for name, value in told.items() if name not in (*_OPTIONS, *_NAMED)}
    for name in ("threshold", "clear_threshold"):
        if name in fields:
            fields[name] = Decimal(fields[name])
    options = {name: _plain(told[name]) for name in _OPTIONS if name in told}
    parent = known[told["parent"]] if "parent" in told else None
    return {
        "kind": "threshold",
        "options": options,
        "parent_id": parent.pk if parent else None,
        "runbook_section_id": sections[told["runbook"]].pk,
    } | fields


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
