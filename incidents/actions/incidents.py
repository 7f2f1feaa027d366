"""Incidents: declaring, editing, moving them on. Every change raises the version, so that no edit is lost unseen."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from accounts.actions import Author, audit
from accounts.models import Team
from aiops_site import formats
from incidents.actions.announcing import announce_end, announce_severity
from incidents.actions.notifying import hush, tell_of_incident
from incidents.actions.timeline import record
from incidents.models import FailureMode, Incident, TimelineEntry
from incidents.rules import states
from incidents.rules.states import Moments

EDITED = ("title", "severity", "impact_started_at", "failure_mode", "summary", "is_private", "scope", "team")
LABELS = {
    "title": "title",
    "severity": "severity",
    "impact_started_at": "begin of the impact",
    "failure_mode": "failure mode",
    "summary": "what is known",
    "is_private": "private",
    "scope": "scope",
    "team": "team",
    "state": "state",
}
# Of alerts people are told by their group.
ANNOUNCED = ("person", "api")
KEPT_TEXT = 300  # of a long text in "what changed"


class Changed(Exception):
    """Somebody else changed the incident since it was read; `incident` is as it is now."""

    def __init__(self, incident: Incident, version: int) -> None:
        self.incident, self.version = incident, version
        super().__init__(f"{incident.number} was changed meanwhile.")


def declare_incident(
    *,
    author: Author,
    team: Team | None,
    title: str,
    severity: int,
    at: datetime,
    impact_started_at: datetime | None = None,
    summary: str = "",
    failure_mode: str = "",
    scope: dict[str, list[str]] | None = None,
    source_kind: str = "person",
    source_key: str = "",
    is_private: bool = False,
    is_drill: bool = False,
) -> Incident:
    """A new incident with its first timeline entry; of one `source_key` the one that is open already.

    `scope`: dimension → values, the slice it is about. `at` is when it was detected. A person who declares has
    acknowledged it too.
    """
    facts: dict[str, Any] = {"title": title[:200], "severity": severity, "summary": summary, "scope": scope or {}}
    facts |= {"failure_mode": failure_mode, "is_private": is_private, "is_drill": is_drill, "detected_at": at}
    facts |= {"impact_started_at": min(impact_started_at or at, at), "declared_by": author.user}
    facts |= {"acknowledged_at": at if author.user else None}
    source = {"source_kind": source_kind, "source_key": source_key}
    try:
        with transaction.atomic():
            incident = Incident.objects.create(team=team, **facts, **source)
            text = f"{incident.get_severity_display()} declared: {incident.title}"
            record(incident, TimelineEntry.Kind.DECLARED, text, at=at, author=author.user)
            audit(
                **author.signature, action="incident.declare", target=incident, team=team, after={"severity": severity}
            )
            if source_kind in ANNOUNCED and not (is_drill or is_private):
                tell_of_incident(incident, at)
    except IntegrityError:
        return Incident.objects.get(**source, resolved_at=None)
    return incident


@contextmanager
def locked(incident: Incident, version: int | None = None) -> Iterator[Incident]:
    """The incident's row in a transaction of its own. Raises Changed where it is not at `version` any more."""
    with transaction.atomic():
        current = Incident.objects.select_for_update(of=("self",)).select_related("team").get(pk=incident.pk)
        if version is not None and current.version != version:
            raise Changed(current, version)
        yield current


def moments_of(incident: Incident) -> Moments:
    names = ("impact_started_at", "detected_at", "acknowledged_at", "mitigated_at", "resolved_at")
    return Moments(**{name: getattr(incident, name) for name in names})


def said(name: str, value: Any) -> str:
    """A fact of an incident in words."""
    if value in (None, "", {}, []):
        return "none"
    if name == "severity":
        return f"SEV{value}"
    if name in ("failure_mode", "state"):
        return str(dict([*FailureMode.choices, *Incident.State.choices]).get(value, value))
    if name == "scope":
        return "; ".join(f"{key} {', '.join(values)}" for key, values in value.items())
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)[:KEPT_TEXT]


def store(incident: Incident, author: Author, action: str, after: dict[str, Any], *, reason: str = "") -> list:
    """Write `after` to the locked incident with a new version and its audit row; (name, before, after) in words."""
    before = {name: getattr(incident, name) for name in after}
    changes = [(n, said(n, old), said(n, new)) for n, old, new in states.changed(before, after)]
    for name, value in after.items():
        setattr(incident, name, value)
    incident.version += 1
    incident.save(update_fields=[*after, "version"])
    audit(
        **author.signature,
        action=action,
        target=incident,
        team=incident.team,
        before={name: old for name, old, _ in changes},
        after={name: new for name, _, new in changes} | {"version": incident.version},
        reason=reason,
    )
    return changes


def edit_incident(
    *, author: Author, incident: Incident, version: int, at: datetime, team: Team | None, **facts
) -> Incident:
    """Change what the incident says; what changed goes to its timeline. Raises Changed."""
    with locked(incident, version) as current:
        facts["impact_started_at"] = _begun(facts["impact_started_at"], current)
        after = {"team": team} | {name: facts[name] for name in EDITED if name in facts}
        if not states.changed({name: getattr(current, name) for name in after}, after):
            return current
        after |= _acknowledged(current, author, at)
        worse = after.get("severity", current.severity) < current.severity
        changes = [one for one in store(current, author, "incident.edit", after) if one[0] in LABELS]
        text = "Changed: " + "; ".join(f"{LABELS[name]} {old} → {new}" for name, old, new in changes)
        _tell(current, text, at, author, changes)
        if "is_private" in [name for name, _, _ in changes] and current.is_private:
            hush(current)
        if worse:
            announce_severity(current, at)
    return current


def _begun(given: datetime, incident: Incident) -> datetime:
    """When the impact began, as given: forms know whole minutes, so the minute it has already is no change."""
    known = incident.impact_started_at
    return known if given == known.replace(second=0, microsecond=0) else min(given, incident.detected_at)


def move_incident(
    *, author: Author, incident: Incident, to: str, at: datetime, version: int | None = None, note: str = ""
) -> Incident:
    """Go to another state, its times stamped. Raises Changed, and ValueError where there is no way to `to`."""
    with locked(incident, version) as current:
        before = current.get_state_display()
        if to == current.state:
            if note:  # somebody was faster; the reason is kept all the same
                record(current, TimelineEntry.Kind.NOTE, note, at=at, author=author.user)
            return current
        if to not in states.next_states(current.state):
            raise ValueError(f"{before} incidents cannot become {to}.")
        reopened = not current.is_open and to in states.OPEN
        after = {"state": to} | states.stamps(moments_of(current), to, at, author.user is not None)
        changes = store(current, author, "incident.reopen" if reopened else "incident.move", after, reason=note)
        text = f"Reopened: {before} → {current.get_state_display()}" if reopened else _moved(current, before)
        text = f"{text}. {note}" if note else text
        _tell(current, text, at, author, changes)
        if to == states.RESOLVED:
            announce_end(current, text, at)
        for part in current.parts.filter(resolved_at=None, is_private=False).order_by("pk"):
            if to in states.next_states(part.state):
                move_incident(author=author, incident=part, to=to, at=at, note=f"With {current.number}")
    return current


def acknowledge(*, author: Author, incident: Incident, at: datetime) -> Incident:
    """Say that somebody is on it; only the first time counts."""
    with locked(incident) as current:
        after = _acknowledged(current, author, at)
        if after:
            changes = store(current, author, "incident.acknowledge", after)
            length = formats.in_minutes(after["acknowledged_at"] - current.detected_at)
            _tell(current, f"Acknowledged {length} after detection", at, author, changes)
        for part in current.parts.filter(resolved_at=None, acknowledged_at=None, is_private=False).order_by("pk"):
            acknowledge(author=author, incident=part, at=at)
    return current


def note_person(incident: Incident, author: Author, at: datetime) -> None:
    """The first act of a person on an incident acknowledges it; in the caller's transaction."""
    if incident.acknowledged_at is None and author.user is not None:
        acknowledge(author=author, incident=incident, at=at)


def _acknowledged(incident: Incident, author: Author, at: datetime) -> dict[str, datetime]:
    if incident.acknowledged_at is not None or author.user is None:
        return {}
    return {"acknowledged_at": max(at, incident.detected_at)}


def _moved(incident: Incident, before: str) -> str:
    times = {"monitoring": incident.mitigated_at, "resolved": incident.resolved_at}
    reached = times.get(incident.state)
    length = f", {formats.in_minutes(reached - incident.detected_at)} after detection" if reached else ""
    return f"{before} → {incident.get_state_display()}{length}"


def _tell(incident: Incident, text: str, at: datetime, author: Author, changes: list) -> None:
    """The timeline entry of a change; `version` in its data finds what others changed meanwhile."""
    data = {"version": incident.version, "changes": [[name, old, new] for name, old, new in changes]}
    record(incident, TimelineEntry.Kind.STATE, text, at=at, author=author.user, data=data)
