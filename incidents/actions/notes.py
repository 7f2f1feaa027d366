"""What people add to a timeline: words, pictures, pinned charts; and striking out what was wrong."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.actions import Author, audit
from incidents.actions.incidents import note_person
from incidents.actions.timeline import record
from incidents.images import Picture
from incidents.models import Incident, IncidentImage, TimelineEntry

LONGEST_NOTE = 5000
OWN = (TimelineEntry.Kind.NOTE, TimelineEntry.Kind.EVIDENCE)


def write_note(
    *, author: Author, incident: Incident, text: str, at: datetime, picture: Picture | None = None, url: str = ""
) -> TimelineEntry:
    """What a person or a program adds: words, a picture or both. Raises ValidationError where there is neither."""
    text = text.replace("\0", "").strip()
    if not text and picture is None:
        raise ValidationError({"text": "Write what happened, or choose an image."})
    if len(text) > LONGEST_NOTE:
        raise ValidationError({"text": f"An entry has at most {LONGEST_NOTE} characters; this has {len(text)}."})
    kind = TimelineEntry.Kind.EVIDENCE if picture else TimelineEntry.Kind.NOTE
    with transaction.atomic():
        by = {} if author.user else {"by": author.label}
        entry = record(incident, kind, text or "Image", at=at, author=author.user, url=url, data=by)
        if picture:
            IncidentImage.objects.create(entry=entry, **vars(picture))
        note_person(incident, author, at)
        audit(
            **author.signature, action="incident.note", target=incident, team=incident.team, after={"entry": entry.pk}
        )
    return entry


def strike(*, author: Author, entry: TimelineEntry, at: datetime) -> None:
    """Strike out an entry of one's own; it stays to be read. Raises ValidationError for any other."""
    if entry.author_id is None or author.user is None or entry.author_id != author.user.pk:
        raise ValidationError("Only who wrote an entry strikes it out. Add one that says what is right.")
    if entry.kind not in OWN:
        raise ValidationError("This entry says what was done: it stays. Add one that says what is right.")
    with transaction.atomic():
        if TimelineEntry.objects.filter(pk=entry.pk, struck_at=None).update(struck_at=at):
            incident = entry.incident
            facts = {"entry": entry.pk, "text": entry.text[:300]}
            audit(**author.signature, action="incident.strike", target=incident, team=incident.team, before=facts)


def pin(*, author: Author, incident: Incident, title: str, frozen: dict[str, Any], at: datetime) -> TimelineEntry:
    """Pin a chart frozen with its data (incidents.queries.evidence.freeze) to the timeline."""
    with transaction.atomic():
        entry = record(incident, TimelineEntry.Kind.EVIDENCE, title, at=at, author=author.user, data={"chart": frozen})
        note_person(incident, author, at)
        audit(**author.signature, action="incident.pin", target=incident, team=incident.team, after={"entry": entry.pk})
    return entry
