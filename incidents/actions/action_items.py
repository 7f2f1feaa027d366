"""Action items of postmortems: made, changed, closed, turned into an alert rule or a runbook step, reminded of."""

from datetime import date, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.actions import Author, audit
from incidents.actions.notifying import notify, put
from incidents.actions.runbooks import add_step
from incidents.models import ActionItem, AlertRule, Channel, Postmortem, Runbook, RunbookVersion
from incidents.rules.reminders import is_due, words

EDITED = ("kind", "text", "measure", "owner", "due")
CLOSED = (ActionItem.State.DONE, ActionItem.State.DROPPED)


def add_item(*, author: Author, postmortem: Postmortem, values: dict[str, Any]) -> ActionItem:
    """A new one; owner, due date and measure may follow until the postmortem is published."""
    with transaction.atomic():
        item = ActionItem.objects.create(postmortem=postmortem, **{name: values[name] for name in EDITED})
        _audit(item, author, "action_item.added", None, facts(item))
    return item


def edit_item(*, author: Author, item: ActionItem, base: int, values: dict[str, Any]) -> ActionItem:
    """Change it. Raises ValidationError where somebody changed it meanwhile."""
    with transaction.atomic():
        item = _locked(item)
        if item.version != base:
            raise ValidationError("Somebody changed it meanwhile. Look at it again, then change it.")
        before = facts(item)
        for name in EDITED:
            setattr(item, name, values[name])
        if facts(item) != before:
            item.version += 1
            item.save(update_fields=[*EDITED, "version"])
            _audit(item, author, "action_item.edited", before, facts(item))
    return item


def move_item(*, author: Author, item: ActionItem, state: str, note: str, at: datetime) -> ActionItem:
    """To another state; closing needs a word on what came of it."""
    if state not in ActionItem.State.values:
        raise ValidationError(f"There is no state {state[:20]!r}.")
    if state in CLOSED and not note.strip():
        raise ValidationError("Say what came of it: the measure, or why it is dropped.")
    with transaction.atomic():
        item = _locked(item)
        before = facts(item)
        item.closed_at = (item.closed_at or at) if state in CLOSED else None
        item.state, item.state_note = state, note.strip()[:500]
        item.version += 1
        item.save(update_fields=["state", "state_note", "closed_at", "version"])
        _audit(item, author, "action_item.moved", before, facts(item), note)
    return item


def ask_for_monitor(*, author: Author, item: ActionItem, at: datetime) -> None:
    """The rule editor is opened for it: recorded, so that the item shows that a rule is on its way."""
    with transaction.atomic():
        ActionItem.objects.filter(pk=item.pk).update(monitor_asked_at=at)
        _audit(item, author, "action_item.monitor_asked", None, None)


def link_rule(*, author: Author, item: ActionItem, rule: AlertRule | None) -> None:
    """The alert rule that came of it."""
    with transaction.atomic():
        item = _locked(item)
        before, item.rule = facts(item), rule
        item.save(update_fields=["rule"])
        _audit(item, author, "action_item.rule_linked", before, facts(item))


def make_step(*, author: Author, item: ActionItem, book: Runbook, kind: str) -> RunbookVersion:
    """Its text as a step at the end of a section of a runbook, in a new version, which the item names."""
    with transaction.atomic():
        item = _locked(item)
        note = f"From {item.postmortem.incident.number}: {item.text}"
        saved = add_step(author=author, book=book, kind=kind, step=item.text, note=note[:500])
        version = saved.versions.get(number=saved.version)
        item.runbook_version = version
        item.save(update_fields=["runbook_version"])
        _audit(item, author, "action_item.step_made", None, {"runbook": book.slug, "version": version.number})
    return version


def remind(*, today: date, at: datetime) -> int:
    """Tell the owners of open items that are due soon or overdue; how many. Safe to miss and to repeat."""
    found = ActionItem.objects.filter(closed_at=None, due__isnull=False)
    rows = found.values_list("pk", "due", "reminded_on")
    waiting = [pk for pk, due, last in rows if due and is_due(due, last, today)]
    return sum(_remind(pk, today, at) for pk in waiting)


def _remind(pk: int, today: date, at: datetime) -> bool:
    with transaction.atomic():
        items = ActionItem.objects.select_for_update(of=("self",), skip_locked=True).filter(pk=pk, closed_at=None)
        item = items.select_related("postmortem__incident__team", "owner").first()
        if item is None or item.due is None or not is_due(item.due, item.reminded_on, today):
            return False
        item.reminded_on = today
        item.save(update_fields=["reminded_on"])
        _send(item, today, at)
    return True


def _send(item: ActionItem, today: date, at: datetime) -> None:
    incident = item.postmortem.incident
    severity = "warning" if item.due and item.due < today else "info"
    told: dict[str, Any] = {
        "kind": "reminder",
        "team": incident.team,
        "severity": severity,
        "route": "ticket",
        "incident": incident,
    }
    told |= {"title": words(item.text, item.due, today), "url": f"/postmortems/{item.postmortem_id}/#item-{item.pk}"}
    owner = item.owner or "nobody: it has no owner"
    told |= {"body": f"Action item of {incident.number}. Owner: {owner}. Measure: {item.measure or 'none'}."}
    key = f"action-item:{item.pk}:{today.isoformat()}"
    own = list(Channel.objects.filter(user=item.owner, is_active=True)) if item.owner else []
    if own:
        put(own, told | {"key": key, "happened_at": at})
    else:
        notify(**told, key=key, at=at)


def facts(item: ActionItem) -> dict[str, Any]:
    """What an item says, for the audit log."""
    return {
        "kind": item.kind,
        "text": item.text,
        "measure": item.measure,
        "owner": item.owner.email if item.owner else None,
        "due": item.due.isoformat() if item.due else None,
        "state": item.state,
        "rule": item.rule.name if item.rule else None,
    }


def _locked(item: ActionItem) -> ActionItem:
    found = ActionItem.objects.select_for_update(of=("self",)).select_related(
        "postmortem__incident__team", "owner", "rule"
    )
    return found.get(pk=item.pk)


def _audit(item: ActionItem, author: Author, action: str, before, after, reason: str = "") -> None:
    team = item.postmortem.incident.team
    audit(**author.signature, action=action, target=item, team=team, before=before, after=after, reason=reason)
