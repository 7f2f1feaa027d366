"""What people decide in triage: the failure mode, mitigations set and ended. Each is a row of the timeline."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.actions import Author
from accounts.models import Team
from incidents.actions.incidents import locked, moments_of, store
from incidents.actions.timeline import record
from incidents.controls import What, Where, end_control, set_control
from incidents.models import Control, FailureMode, Incident, TimelineEntry
from incidents.rules import states
from usage.changes import record_change
from usage.models import ChangeMarker

JUST_NOW = timedelta(minutes=15)


def origin_of(incident: Incident) -> str:
    """The origin_key of controls that an incident sets."""
    return f"incident:{incident.pk}"


def choose_mode(
    *, author: Author, incident: Incident, mode: str, found: dict[str, Any], at: datetime, version: int | None = None
) -> Incident:
    """Decide on a failure mode ("" takes the decision back); the evidence as it was then goes to the timeline.

    found: an assessment as incidents.triage.shown has it. Raises ValidationError for an unknown mode, and
    incidents.actions.incidents.Changed where the incident is not at `version` any more.
    """
    if mode and mode not in FailureMode.values:
        raise ValidationError({"mode": f"This must be one of {', '.join(FailureMode.values)}."})
    with locked(incident, version) as current:
        after: dict[str, Any] = {"failure_mode": mode}
        if mode and current.state == Incident.State.DECLARED:
            after |= _moved(current, Incident.State.TRIAGING, author, at)
        store(current, author, "incident.triage", after)
        data = {"triage": found} if found else {}
        url = f"{reverse('incident-triage', args=[current.pk])}?decision={current.version}" if found else ""
        facts: dict[str, Any] = {"at": at, "author": author.user, "data": data, "url": url}
        key = f"triage:{current.version}"
        record(current, TimelineEntry.Kind.TRIAGE, _decided(mode, found), source_key=key, **facts)
    return current


def _moved(incident: Incident, to: str, author: Author, at: datetime) -> dict[str, Any]:
    return {"state": to} | states.stamps(moments_of(incident), to, at, author.user is not None)


def _decided(mode: str, found: dict[str, Any]) -> str:
    """The decision in a sentence or two, with what the evidence ranked first where that is something else."""
    if not mode:
        return "Triage: the failure mode is open again"
    text = f"Triage: {FailureMode(mode).label}"
    ranked = found.get("modes", [])
    if ranked and ranked[0]["mode"] != mode and found.get("confidence") != "none":
        text += f", against {ranked[0]['label']}, which the evidence ranks first"
    mine = next((one for one in ranked if one["mode"] == mode), None)
    reasons = "; ".join(one["text"] for one in mine["supporting"][:2]) if mine else ""
    where = (found.get("radius") or {}).get("text", "")
    return ". ".join(part for part in (text, f"Blast radius: {where}" if where else "", reasons) if part)


@dataclass(frozen=True)
class Plan:
    """A mitigation to put in force: as rules.triage.advice.Mitigation, with the team it is over (None: all).

    usual: (bad, base) of its signal on a usual day, to hold the effect against.
    """

    title: str
    kind: str
    signal: str
    what: dict[str, Any] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    watched: dict[str, list[str]] = field(default_factory=dict)
    change: dict[str, str] = field(default_factory=dict)
    usual: tuple[float, int] | None = None
    team: Team | None = None


def mitigate(
    *, author: Author, incident: Incident, plan: Plan, reason: str, expires_at: datetime | None, at: datetime
) -> TimelineEntry:
    """Do it: a control in force, or a step told with its change marker. The guard's next answer follows a control.

    Raises ValidationError by field where the control makes no sense.
    """
    with locked(incident) as current:
        if current.state in (Incident.State.DECLARED, Incident.State.TRIAGING):
            store(current, author, "incident.move", _moved(current, Incident.State.MITIGATING, author, at))
        act = _controlled if plan.kind == "control" else _stepped
        return act(author, current, plan, reason, expires_at, at)


def _controlled(author: Author, incident: Incident, plan: Plan, reason: str, expires_at: datetime | None, at: datetime):
    control = set_control(
        author=author,
        where=Where(team=plan.team, **plan.where),
        what=What(**plan.what),
        reason=reason,
        expires_at=expires_at,
        origin=Control.Origin.INCIDENT,
        origin_key=origin_of(incident),
        at=at,
    )
    until = f" until {expires_at:%H:%M} UTC" if expires_at else ""
    data = {"mitigation": _facts(plan) | {"control": control.pk}}
    text = f"{control} is in force{until}: {control.reason}"
    key = f"control:{control.pk}:set"
    return record(incident, TimelineEntry.Kind.MITIGATION, text, at=at, author=author.user, data=data, source_key=key)


def _stepped(author: Author, incident: Incident, plan: Plan, reason: str, _: datetime | None, at: datetime):
    if not reason.strip():
        raise ValidationError({"reason": "Say what was done: the history shows it."})
    change = _marked(plan, at) or _mark(author, incident, plan, reason, at)
    data = {"mitigation": _facts(plan) | {"change": change.pk}}
    text = f"Done: {plan.title}. {reason.strip()}"
    key = f"change:{change.pk}"
    return record(incident, TimelineEntry.Kind.MITIGATION, text, at=at, author=author.user, data=data, source_key=key)


def _marked(plan: Plan, at: datetime) -> ChangeMarker | None:
    """The marker of the step where the deploy itself has sent one just now, so that no change is told twice."""
    told = ChangeMarker.objects.filter(team=plan.team, kind=plan.change["kind"], at__range=(at - JUST_NOW, at))
    features = [*plan.watched.get("feature", []), plan.change.get("feature", ""), ""]
    return told.filter(feature__in=features).order_by("-at").first()


def _mark(author: Author, incident: Incident, plan: Plan, reason: str, at: datetime) -> ChangeMarker:
    change, _ = record_change(
        team=plan.team,
        at=at,
        actor=author.user,
        request=author.request,
        idempotency_key=f"incident:{incident.pk}:{at.isoformat()}",
        description=reason.strip(),
        kind=plan.change["kind"],
        title=plan.change["title"][:200],
        ref=plan.change.get("ref", ""),
        feature=plan.change.get("feature", ""),
    )
    return change


def _facts(plan: Plan) -> dict[str, Any]:
    """What the watch panel reads an entry by."""
    usual = list(plan.usual) if plan.usual else None
    return {"title": plan.title, "kind": plan.kind, "signal": plan.signal, "watched": plan.watched, "usual": usual}


def unmitigate(*, author: Author, incident: Incident, control: Control, reason: str, at: datetime) -> Control:
    """End a control that the incident set. Raises ValidationError where it is not in force, or no reason is given."""
    with locked(incident):
        ended = end_control(author=author, control=control, reason=reason, at=at)
        text = f"{ended} ended: {ended.ended_reason}"
        key = f"control:{control.pk}:ended"
        record(incident, TimelineEntry.Kind.MITIGATION, text, at=at, author=author.user, source_key=key)
    return ended
