"""Notifying: rows of the outbox, in the transaction of what they tell. A worker sends them afterwards."""

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from kombu.exceptions import OperationalError

from accounts.models import Team, User
from aiops_site.celery import app
from incidents.models import AlertGroup, Channel, Delivery, Incident
from incidents.queries.channels import channels_for
from incidents.rules.sending import quiet_until

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

    `kind`: alert, resolved, incident, message, reminder …, a word for the reader and for receivers. `key` names what
    is told: asked for again with it, nothing is added. `url`: a path of the desk or an absolute address. Of a private
    incident only its number goes out.
    """
    facts: dict[str, Any] = {"kind": kind, "team": team, "severity": severity, "route": route, "url": url[:500]}
    facts |= {"title": title[:200], "body": body, "incident": incident, "alert_group": alert_group}
    return put(channels_for(team, severity, route), facts | {"key": key[:200], "happened_at": at})


def notify_person(user: User, *, fallback: Team | None, facts: dict[str, Any]) -> int:
    """Write deliveries to all of a person's own channels; without one, to the channels for pages of `fallback`.

    `facts`: fields of Delivery. Returns how many channels were reached for, known ones included; 0 is nobody told.
    """
    own = Channel.objects.filter(user=user, is_active=True)
    channels = list(own) or list(channels_for(fallback, facts["severity"], "page"))
    put(channels, facts)
    return len(channels)


def put(channels: Iterable[Channel], facts: dict[str, Any]) -> int:
    """A waiting delivery for each channel that has none of this key; how many are new. Pages know no quiet hours."""
    incident = facts.get("incident")
    if incident and incident.is_private:
        facts = facts | {"title": f"{incident.number} (private)", "body": ""}
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
