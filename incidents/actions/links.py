"""Incidents that belong together: linked, or one merged into another."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse

from accounts.actions import Author, audit
from incidents.actions.incidents import moments_of, store
from incidents.actions.timeline import record
from incidents.models import AlertGroup, Incident, IncidentLink, TimelineEntry
from incidents.rules import states


def link_incidents(*, author: Author, incident: Incident, other: Incident, at: datetime) -> None:
    """Note that two incidents have to do with each other, on both timelines. Raises ValidationError for itself."""
    _check_pair(incident, other)
    first, second = sorted((incident, other), key=lambda one: one.pk)
    with transaction.atomic():
        _, new = IncidentLink.objects.get_or_create(first=first, second=second, defaults={"created_by": author.user})
        if not new:
            return
        _point(incident, other, "Linked with", author, at)
        _point(other, incident, "Linked with", author, at)
        audit(
            **author.signature, action="incident.link", target=incident, team=incident.team, after={"to": other.number}
        )


def unlink_incidents(*, author: Author, incident: Incident, other: Incident, at: datetime) -> None:
    """Take a link back."""
    first, second = sorted((incident, other), key=lambda one: one.pk)
    with transaction.atomic():
        if IncidentLink.objects.filter(first=first, second=second).delete()[0]:
            _point(incident, other, "No longer linked with", author, at)
            _point(other, incident, "No longer linked with", author, at)
            facts = {"to": other.number}
            audit(**author.signature, action="incident.unlink", target=incident, team=incident.team, before=facts)


def merge_incident(*, author: Author, incident: Incident, into: Incident, at: datetime) -> None:
    """Close `incident` as part of `into`, which takes its alerts over. Both timelines point to each other.

    Raises ValidationError where one of them is over or one is private and the other is not: a timeline must not show
    what its readers may not see.
    """
    _check_pair(incident, into)
    with transaction.atomic():
        pair = Incident.objects.select_for_update(of=("self",)).select_related("team").order_by("pk")
        rows = {one.pk: one for one in pair.filter(pk__in=[incident.pk, into.pk])}
        merged, kept = rows[incident.pk], rows[into.pk]
        if not merged.is_open or not kept.is_open:
            raise ValidationError("Only open incidents are merged. Reopen it, or link the two.")
        if merged.is_private != kept.is_private:
            raise ValidationError("One of them is private: link it from the private one instead.")
        after = {"merged_into": kept, "state": states.RESOLVED}
        after |= states.stamps(moments_of(merged), states.RESOLVED, at, author.user is not None)
        store(merged, author, "incident.merge", after)
        Incident.objects.filter(merged_into=merged).update(merged_into=kept)
        AlertGroup.objects.filter(incident=merged).update(incident=kept)
        _earlier(kept, merged, author)
        _point(merged, kept, "Merged into", author, at)
        _point(kept, merged, "Took over", author, at)


def _earlier(kept: Incident, merged: Incident, author: Author) -> None:
    """The impact began with the earlier of the two."""
    if merged.impact_started_at < kept.impact_started_at:
        store(kept, author, "incident.edit", {"impact_started_at": merged.impact_started_at})


def _check_pair(incident: Incident, other: Incident) -> None:
    if incident.pk == other.pk:
        raise ValidationError("Choose another incident than this one.")


def _point(incident: Incident, other: Incident, words: str, author: Author, at: datetime) -> None:
    """A pointer on the timeline; none to a private incident from one that others read.

    A title is told only where every reader of the timeline sees the other incident too.
    """
    if other.is_private and not incident.is_private:
        return
    name = other if other.team_id == incident.team_id and not other.is_private else other.number
    url = reverse("incident-detail", args=[other.pk])
    record(incident, TimelineEntry.Kind.STATE, f"{words} {name}", at=at, author=author.user, url=url)
