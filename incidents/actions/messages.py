"""Messages about an incident: drafted, reviewed, sent. What was sent stays as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse

from accounts.actions import Author, audit
from incidents.actions.announcing import announce
from incidents.actions.incidents import note_person
from incidents.actions.timeline import record
from incidents.models import Incident, Message, TimelineEntry
from incidents.queries.messages import PROMISED, facts_of, leads
from incidents.rules.messages import REVIEWED, draft, gaps, why_not

TEXTS = ("subject", "body", "next_update_minutes", "to_channels", "recipients")
OPEN = (Message.State.DRAFT, Message.State.REVIEW, Message.State.APPROVED)


class Stale(Exception):
    """Somebody else changed the message since it was read; `message` is as it is now."""

    def __init__(self, message: Message) -> None:
        self.message = message
        super().__init__("The message was changed meanwhile.")


def start_message(*, author: Author, incident: Incident, kind: str, at: datetime) -> Message:
    """A draft filled with the facts of now. Raises ValidationError for a kind that is unknown or may not be sent."""
    if kind not in Message.Kind.values:
        raise ValidationError(f"There is no message {kind}. Kinds: {', '.join(Message.Kind.values)}.")
    if refused := why_not(kind, approved=True, leads=True, private=incident.is_private, drill=incident.is_drill):
        raise ValidationError(refused)
    filled = draft(kind, facts_of(incident, at))
    promised = PROMISED.get(incident.severity) if kind in ("internal", "status") and incident.is_open else None
    with transaction.atomic():
        message = Message.objects.create(
            incident=incident,
            kind=kind,
            subject=filled.subject,
            body=filled.body,
            next_update_minutes=promised // timedelta(minutes=1) if promised else None,
            to_channels=kind in ("internal", "executive") and not incident.is_private,
            author=author.user,
        )
        note_person(incident, author, at)
        _audit(message, author, "message.draft")
    return message


@contextmanager
def _locked(message: Message, version: int) -> Iterator[Message]:
    """The row in a transaction of its own. Raises Stale at another version, ValidationError when it was sent."""
    with transaction.atomic():
        rows = Message.objects.select_for_update(of=("self",)).select_related("incident__team", "approved_by")
        current = rows.get(pk=message.pk)
        if current.state not in OPEN:
            raise ValidationError(f"It is {current.get_state_display().lower()} already and stays as it is.")
        if current.version != version:
            raise Stale(current)
        yield current


def edit_message(*, author: Author, message: Message, version: int, **texts: Any) -> Message:
    """Change its texts: who does is its author from now on, and an approval, which is for the text approved, is taken
    back. Raises Stale.
    """
    with _locked(message, version) as current:
        if {name: getattr(current, name) for name in texts} == texts:
            return current
        for name in TEXTS:
            setattr(current, name, texts[name])
        current.author = author.user or current.author
        if current.state == Message.State.APPROVED:
            current.state, current.approved_by = Message.State.REVIEW, None
        _save(current, author, "message.edit")
    return current


def ask_review(*, author: Author, message: Message, version: int, at: datetime) -> Message:
    """Ask a second person to look at it: told by notification."""
    with _locked(message, version) as current:
        current.state = Message.State.REVIEW
        _save(current, author, "message.review")
        incident = current.incident
        _notify(current, "reminder", f"Please review: {current.subject}", f"message:{current.pk}:review", at)
        text = f"{current.get_kind_display()} waits for review: {current.subject}"
        record(incident, TimelineEntry.Kind.MESSAGE, text, at=at, author=author.user)
    return current


def approve(*, author: Author, message: Message, version: int, at: datetime) -> Message:
    """A second person says that it may go. Raises ValidationError for its author."""
    with _locked(message, version) as current:
        if author.user is None or author.user.pk == current.author_id:
            raise ValidationError("A second person approves it: somebody who did not write it.")
        current.state, current.approved_by = Message.State.APPROVED, author.user
        _save(current, author, "message.approve")
        text = f"{current.get_kind_display()} approved: {current.subject}"
        record(current.incident, TimelineEntry.Kind.MESSAGE, text, at=at, author=author.user)
    return current


def discard(*, author: Author, message: Message, version: int) -> None:
    with _locked(message, version) as current:
        current.state = Message.State.DISCARDED
        _save(current, author, "message.discard")


def send(*, author: Author, message: Message, version: int, at: datetime) -> Message:
    """Send it: to the channels and the status page with this transaction, by mail soon after.

    Raises Stale, and ValidationError where something is left in brackets or nobody may send it yet.
    """
    with _locked(message, version) as current:
        _check(current, author)
        current.state, current.sent_at, current.sent_by = Message.State.SENT, at, author.user
        _save(current, author, "message.send")
        _promise(current, at)
        if current.to_channels:
            _notify(current, "message", current.subject, f"message:{current.pk}", at)
        alone = current.kind in REVIEWED and current.approved_by is None
        text = f"{current.get_kind_display()} sent{', without a review' if alone else ''}: {current.subject}"
        data = {"message": current.pk, "body": current.body}
        record(current.incident, TimelineEntry.Kind.MESSAGE, text, at=at, author=author.user, data=data)
        note_person(current.incident, author, at)
    return current


def _check(message: Message, author: Author) -> None:
    incident = message.incident
    if message.kind in REVIEWED and (left := gaps(f"{message.subject}\n{message.body}")):
        raise ValidationError({"body": f"Fill in or take out what stands in brackets: {', '.join(left)}."})
    refused = why_not(
        message.kind,
        approved=message.approved_by is not None,
        leads=author.user is not None and leads(incident, author.user),
        private=incident.is_private,
        drill=incident.is_drill,
    )
    if refused:
        raise ValidationError(refused)


def _promise(message: Message, at: datetime) -> None:
    """The next-update timer runs from the sending; a message that promises nothing leaves it alone once it is over."""
    minutes = message.next_update_minutes
    if message.kind in ("internal", "status"):
        promised = at + timedelta(minutes=minutes) if minutes else None
        Incident.objects.filter(pk=message.incident_id).update(next_update_at=promised)


def _notify(message: Message, kind: str, title: str, key: str, at: datetime) -> None:
    url = reverse("incident-message", args=[message.incident_id, message.pk])
    announce(message.incident, kind=kind, title=title, body=message.body, key=key, at=at, pages=False, url=url)


def _save(message: Message, author: Author, action: str) -> None:
    message.version += 1
    message.save()
    _audit(message, author, action)


def _audit(message: Message, author: Author, action: str) -> None:
    incident = message.incident
    facts = {"kind": message.kind, "state": message.state, "subject": message.subject, "version": message.version}
    audit(
        **author.signature, action=action, target=f"{incident.number} {message.kind}", team=incident.team, after=facts
    )
