"""Postmortems: start, edit, review by a second person, publish. Each with its audit row, most on the timeline too."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.actions import Author, audit
from incidents.actions.incidents import move_incident
from incidents.actions.timeline import record
from incidents.models import ActionItem, Incident, Postmortem, PostmortemVersion, TimelineEntry
from incidents.queries.postmortem_facts import facts_of
from incidents.queries.postmortems import document_of
from incidents.rules.postmortems import SECTIONS, first_impact, missing

EDITED = ("title", *(name for name, _, _ in SECTIONS), "whys", "recovered_at")


class Outdated(Exception):
    """Somebody else saved meanwhile; `postmortem` is as it is now."""

    def __init__(self, postmortem: Postmortem):
        self.postmortem = postmortem
        super().__init__("Somebody saved it meanwhile.")


def start_postmortem(*, author: Author, incident: Incident, at: datetime) -> Postmortem:
    """The postmortem of an incident, made with everything that is known of it; the one that is there, if there is."""
    facts = facts_of(incident, at)
    with transaction.atomic():
        Incident.objects.select_for_update(of=("self",)).get(pk=incident.pk)
        if known := Postmortem.objects.filter(incident=incident).first():
            return known
        values: dict[str, Any] = {
            "title": incident.title,
            "summary": incident.summary,
            "recovered_at": incident.mitigated_at,
        }
        values |= {
            "impact": first_impact(facts),
            "facts": facts,
            "facts_at": at,
            "started_by": author.user,
            "started_at": at,
        }
        postmortem = Postmortem.objects.create(incident=incident, **values)
        _tell(postmortem, author, "postmortem.started", "The postmortem is started", at)
    return postmortem


def edit_postmortem(*, author: Author, postmortem: Postmortem, base: int, values: dict[str, Any]) -> Postmortem:
    """Change its text while it is a draft or in review. Raises Outdated, and ValidationError when it is published."""
    with transaction.atomic():
        current = _locked(postmortem)
        _writable(current)
        if current.version != base:
            raise Outdated(current)
        changed = [name for name in EDITED if getattr(current, name) != values[name]]
        if not changed:
            return current
        for name in changed:
            setattr(current, name, values[name])
        current.version, current.edited_by = base + 1, author.user
        current.save(update_fields=[*changed, "version", "edited_by"])
        _audit(current, author, "postmortem.edited", after={"changed": changed, "version": current.version})
    return current


def take_in_facts(*, author: Author, postmortem: Postmortem, at: datetime) -> Postmortem:
    """Read numbers, charts and timeline of the incident again. Raises ValidationError when it is published."""
    facts = facts_of(postmortem.incident, at)
    with transaction.atomic():
        current = _locked(postmortem)
        _writable(current)
        current.facts, current.facts_at = facts, at
        current.save(update_fields=["facts", "facts_at"])
        _audit(current, author, "postmortem.facts_taken_in")
    return current


def lacking(postmortem: Postmortem) -> list[str]:
    """What it needs before it may be published, one sentence each."""
    sections = {name: getattr(postmortem, name) for name, _, _ in SECTIONS}
    items = postmortem.items.exclude(state=ActionItem.State.DROPPED).values("text", "owner", "due", "measure")
    found = missing(sections, postmortem.whys, list(items))
    return found if postmortem.incident.resolved_at else ["The incident is not resolved yet.", *found]


def submit(*, author: Author, postmortem: Postmortem, at: datetime) -> Postmortem:
    """Ask for its review. Raises ValidationError with everything it lacks."""
    with transaction.atomic():
        current = _locked(postmortem)
        _in_state(current, Postmortem.State.DRAFT, "It is in review already, or published.")
        _complete(current)
        current.state, current.submitted_by, current.review_note = Postmortem.State.REVIEW, author.user, ""
        current.save(update_fields=["state", "submitted_by", "review_note"])
        _tell(current, author, "postmortem.submitted", "The postmortem waits for its review", at)
    return current


def send_back(*, author: Author, postmortem: Postmortem, note: str, at: datetime) -> Postmortem:
    """Back to its authors with what the reviewer asks for."""
    if not note.strip():
        raise ValidationError("Say what should change.")
    with transaction.atomic():
        current = _locked(postmortem)
        _in_state(current, Postmortem.State.REVIEW, "It is not in review.")
        current.state, current.review_note = Postmortem.State.DRAFT, note.strip()
        current.save(update_fields=["state", "review_note"])
        _tell(current, author, "postmortem.sent_back", "The review of the postmortem asks for changes", at)
    return current


def may_sign(postmortem: Postmortem, user) -> bool:
    """Whether this person is a second one: neither who asked for the review nor who wrote last."""
    return user.pk not in (postmortem.submitted_by_id, postmortem.edited_by_id)


def publish(*, author: Author, postmortem: Postmortem, at: datetime) -> PostmortemVersion:
    """Sign it off: a version that never changes, and the incident is learned from.

    Raises ValidationError where it lacks something or the person is not a second one.
    """
    with transaction.atomic():
        current = _locked(postmortem)
        _in_state(current, Postmortem.State.REVIEW, "Ask for its review first.")
        if not may_sign(current, author.user):
            raise ValidationError("A second person signs it off: not who wrote last, not who asked for the review.")
        _complete(current)
        number = current.versions.count() + 1
        facts = {"author": current.submitted_by, "reviewer": author.user, "published_at": at}
        document = document_of(current) | {"version": number, "reviewer": str(author.user or ""), "published": at}
        version = PostmortemVersion.objects.create(postmortem=current, number=number, document=document, **facts)
        current.state, current.published_at = Postmortem.State.PUBLISHED, at
        current.save(update_fields=["state", "published_at"])
        if current.incident.state == Incident.State.RESOLVED:
            move_incident(author=author, incident=current.incident, to=Incident.State.LEARNED, at=at)
        _tell(current, author, "postmortem.published", f"The postmortem is published, version {number}", at)
    return version


def revise(*, author: Author, postmortem: Postmortem, at: datetime) -> Postmortem:
    """A published one as a draft again; what was published stays to be read."""
    with transaction.atomic():
        current = _locked(postmortem)
        _in_state(current, Postmortem.State.PUBLISHED, "It is not published.")
        current.state = Postmortem.State.DRAFT
        current.save(update_fields=["state"])
        _tell(current, author, "postmortem.revised", "The postmortem is being revised", at)
    return current


def _locked(postmortem: Postmortem) -> Postmortem:
    found = Postmortem.objects.select_for_update(of=("self",)).select_related("incident__team")
    return found.get(pk=postmortem.pk)


def _in_state(postmortem: Postmortem, state: str, otherwise: str) -> None:
    if postmortem.state != state:
        raise ValidationError(otherwise)


def _writable(postmortem: Postmortem) -> None:
    if postmortem.state == Postmortem.State.PUBLISHED:
        raise ValidationError("It is published. Revise it to change its text.")


def _complete(postmortem: Postmortem) -> None:
    if lacks := lacking(postmortem):
        raise ValidationError(lacks)


def _audit(postmortem: Postmortem, author: Author, action: str, **facts: Any) -> None:
    audit(**author.signature, action=action, target=postmortem, team=postmortem.incident.team, **facts)


def _tell(postmortem: Postmortem, author: Author, action: str, text: str, at: datetime) -> None:
    url = f"/postmortems/{postmortem.pk}/"
    record(postmortem.incident, TimelineEntry.Kind.NOTE, text, at=at, author=author.user, url=url)
    _audit(postmortem, author, action)
