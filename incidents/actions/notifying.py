"""Notifying: rows of the outbox, in the transaction of what they tell. A worker sends them afterwards."""

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from kombu.exceptions import OperationalError

from accounts.models import Team, User
from aiops_site.celery import app
from incidents.models import AlertGroup, Channel, Delivery, Escalation, Incident
from incidents.queries.channels import channels_for
from incidents.queries.escalations import policy_for
from incidents.rules.sending import quiet_until

# Kinds of notification that somebody must answer.
CLIMBING = ("alert", "incident")
SEND = "incidents.tasks.sending.send_due"
NUDGE_SECONDS = 1.0
_last_nudge = {"at": float("-inf")}


def notify(
    *,
    kind: str,
    team: Team | None,
    severity: str,
    route: str,
    title: str,
    body: str,
    url: str,
    key: str,
    at: datetime,
    incident: Incident | None = None,
    alert_group: AlertGroup | None = None,
) -> int:
    """Write one delivery for each channel whose routes match, in the caller's transaction; how many are new.

    `kind`: alert, resolved, incident, message, reminder …, a word for the reader and for receivers. A page about an
    alert or incident climbs by the escalation policy. `key` names what is told: asked for again, nothing is added.
    `url`: a path of the desk or an absolute address. Of a private incident only its number goes out.
    """
    facts: dict[str, Any] = {"kind": kind, "team": team, "severity": severity, "route": route, "url": url[:500]}
    facts |= {"title": title[:200], "body": body, "incident": incident, "alert_group": alert_group}
    facts |= {"key": key[:200], "happened_at": at}
    if route == "page" and kind in CLIMBING:
        _start_climbing(facts)
    return put(channels_for(team, severity, route), facts)


# Route and severity of what is told of an incident, by its own severity (DOMAIN: at once, within 1 h, 4 h, next day).
OF_INCIDENT = {1: ("page", "critical"), 2: ("page", "critical"), 3: ("ticket", "warning"), 4: ("report", "info")}


def tell_of_incident(incident: Incident, at: datetime) -> int:
    """Tell that a person declared it, in the transaction of the caller; how many deliveries. Not of the demo's."""
    if incident.source_kind == "demo":
        return 0
    route, severity = OF_INCIDENT[incident.severity]
    return notify(
        kind="incident",
        team=incident.team,
        severity=severity,
        route=route,
        title=f"{incident.get_severity_display()} declared: {incident.title}",
        body=incident.summary,
        url=reverse("incident-detail", args=[incident.pk]),
        key=f"incident:{incident.pk}:declared",
        at=at,
        incident=incident,
    )


def _start_climbing(facts: dict[str, Any]) -> None:
    """Begin an escalation, unless one of the same group or incident is under way or no policy says how."""
    incident, group = facts["incident"], facts["alert_group"]
    same = Q(incident=incident) if incident else Q(pk__in=[])
    same |= Q(alert_group=group) if group else Q(pk__in=[])
    if Escalation.objects.filter(same, ended_at=None).exists() or policy_for(facts["team"]) is None:
        return
    names = ("team", "key", "title", "body", "url", "severity", "incident", "alert_group")
    begun = {name: facts[name] for name in names} | {
        "started_at": facts["happened_at"],
        "next_at": facts["happened_at"],
    }
    Escalation.objects.bulk_create([Escalation(**begun)], ignore_conflicts=True)


def notify_person(user: User, *, fallback: Team | None, facts: dict[str, Any]) -> int:
    """Write deliveries to a person's own channels; where none of them works, to those for pages of `fallback` as well.

    `facts`: fields of Delivery. Returns how many channels were reached for, known ones included; 0 is nobody told.
    """
    own = list(Channel.objects.filter(user=user, is_active=True))
    put(own, facts)
    working = [channel for channel in own if channel.dead_since is None]
    if working:
        return len(own)
    shared = list(channels_for(fallback, facts["severity"], "page"))
    put(shared, facts | {"title": f"For {user}: {facts['title']}"[:200]})
    return len(own) + len(shared)


def hush(incident: Incident) -> None:
    """Of an incident that became private: what waits goes out, and all that went out is shown, as its number alone."""
    for told in (Delivery, Escalation):
        told.objects.filter(incident=incident).update(**_number_of(incident))


def _number_of(incident: Incident) -> dict[str, str]:
    return {"title": f"{incident.number} (private)", "body": ""}


def put(channels: Iterable[Channel], facts: dict[str, Any]) -> int:
    """A waiting delivery for each channel that has none of this key; how many are new. Pages know no quiet hours."""
    incident = facts.get("incident")
    if incident and incident.is_private:
        facts = facts | _number_of(incident)
    found = [Delivery(channel=channel, due_at=_due_at(channel, facts), **facts) for channel in channels]
    with transaction.atomic():
        before = Delivery.objects.filter(key=facts["key"]).count()
        Delivery.objects.bulk_create(found, ignore_conflicts=True)
        added = Delivery.objects.filter(key=facts["key"]).count() - before
        if added:
            transaction.on_commit(nudge, robust=True)
    return added


def _due_at(channel: Channel, facts: dict[str, Any]) -> datetime:
    at: datetime = facts["happened_at"]
    if facts["route"] == "page":
        return at
    return quiet_until(at, channel.quiet_from, channel.quiet_until, channel.zone) or at


def nudge() -> None:
    """Tell a worker to look now. It looks every few seconds anyway, so once a second is enough and a loss harmless."""
    if time.monotonic() - _last_nudge["at"] < NUDGE_SECONDS:
        return
    _last_nudge["at"] = time.monotonic()
    try:
        app.send_task(SEND, queue="realtime", expires=10, retry=False)
    except OperationalError:
        return
