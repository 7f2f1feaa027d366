"""Claiming deliveries and writing down what became of them. Sending itself is in `incidents.outbound`, in between."""

import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.urls import reverse

from incidents.actions.alerts import raise_alert, resolve_alert
from incidents.models import Channel, Delivery
from incidents.outbound.message import Outcome
from incidents.rules.sending import ATTEMPTS, SEVERITIES, individually, pause_of, quiet_until, wait_after

MINUTE = timedelta(minutes=1)
# Longer than any sending takes; who has not reported by then is taken for dead.
LEASE = timedelta(minutes=1)
UNDER_WAY = (Delivery.State.WAITING, Delivery.State.SENDING)
ROUTES = ("report", "ticket", "page")
LISTED = 10
RUNBOOK = "tool-incident#mitigation"


def channels_due(at: datetime) -> list[int]:
    """The channels with something to send now, or whose sender has died."""
    due = Delivery.objects.filter(state__in=UNDER_WAY, due_at__lte=at, channel__is_active=True)
    awake = Q(channel__paused_until=None) | Q(channel__paused_until__lte=at) | Q(kind="test")
    return list(due.filter(awake).order_by().values_list("channel", flat=True).distinct())


def claim(channel_id: int, at: datetime) -> Delivery | None:
    """The next delivery of a channel, the caller's alone until its lease ends; None where none may go out now.

    Pages first, then the worst. In a minute `per_minute` go out at most: where more are due, the last is a digest of
    all others. A channel that another sender just claims from is left to it.
    """
    with transaction.atomic():
        channel = (
            Channel.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(pk=channel_id, is_active=True)
            .first()
        )
        if channel is None:
            return None
        due = _due(channel, at)
        count, room = due.count(), channel.per_minute - _begun_lately(channel, at)
        if not count or room <= 0:
            return None
        first = due.first() if individually(count, room) else _digest(channel, list(due), at)
        return _take(first, at) if first else None


def _due(channel: Channel, at: datetime) -> QuerySet[Delivery]:
    due = channel.deliveries.filter(state__in=UNDER_WAY, due_at__lte=at)
    if quiet_until(at, channel.quiet_from, channel.quiet_until, channel.zone):
        due = due.filter(Q(route="page") | Q(kind="test"))
    if channel.paused_until and channel.paused_until > at:
        due = due.filter(kind="test")
    return due.order_by(_order("route", ROUTES), _order("severity", SEVERITIES), "id")


def _order(name: str, ascending: Sequence[str]) -> Case:
    """The worst first."""
    return Case(*(When(**{name: value}, then=Value(-rank)) for rank, value in enumerate(ascending)), default=Value(0))


def _begun_lately(channel: Channel, at: datetime) -> int:
    return channel.deliveries.filter(attempted_at__gt=at - MINUTE, attempted_at__lte=at).count()


def _digest(channel: Channel, members: list[Delivery], at: datetime) -> Delivery:
    """One message instead of many, which point to it."""
    titles = [f"- {one.title}" for one in members[:LISTED]]
    more = [f"and {len(members) - LISTED} more"] if len(members) > LISTED else []
    digest = Delivery.objects.create(
        channel=channel,
        team=channel.team,
        kind="digest",
        severity=max((one.severity for one in members), key=SEVERITIES.index),
        route=max((one.route for one in members), key=ROUTES.index),
        title=f"{len(members)} notifications at once",
        body="\n".join(titles + more),
        key=f"digest:{uuid.uuid4()}",
        happened_at=at,
        due_at=at,
    )
    digest.url = f"{reverse('delivery-list')}?digest={digest.pk}"
    digest.save(update_fields=["url"])
    gone = Delivery.objects.filter(pk__in=[one.pk for one in members])
    gone.update(state=Delivery.State.DIGESTED, digest=digest, claim=None)
    return digest


def _take(delivery: Delivery, at: datetime) -> Delivery:
    mine = {"state": Delivery.State.SENDING, "claim": uuid.uuid4(), "due_at": at + LEASE, "attempted_at": at}
    Delivery.objects.filter(pk=delivery.pk).update(attempts=F("attempts") + 1, **mine)
    return Delivery.objects.select_related("channel", "team", "incident", "alert_group").get(pk=delivery.pk)


def settle(delivery: Delivery, outcome: Outcome, at: datetime) -> bool:
    """Write down what became of a claimed delivery; False where its lease had ended and someone else has it.

    The channel's row is locked weakly (NO KEY): who raises an alert meanwhile may still add deliveries to it.
    """
    with transaction.atomic():
        channel = Channel.objects.select_for_update(no_key=True).get(pk=delivery.channel_id)
        facts = _sent(at) if outcome.taken else _refused(delivery, outcome, at)
        mine = Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.SENDING, claim=delivery.claim)
        if not mine.update(claim=None, **facts):
            return False
        if outcome.taken:
            _works(channel, at)
        else:
            _fails(channel, delivery, outcome, at, given_up=facts["state"] == Delivery.State.FAILED)
    return True


def _sent(at: datetime) -> dict[str, object]:
    return {"state": Delivery.State.SENT, "sent_at": at, "last_error": ""}


def _refused(delivery: Delivery, outcome: Outcome, at: datetime) -> dict[str, object]:
    """Tried again after a while, or given up; a test is tried once, for somebody waits for its answer."""
    last = outcome.final or delivery.attempts >= ATTEMPTS or delivery.kind == "test"
    wait = max(
        wait_after(delivery.attempts, secrets.randbelow(1000) / 1000), pause_of(outcome.retry_after) or timedelta()
    )
    state = Delivery.State.FAILED if last else Delivery.State.WAITING
    return {"state": state, "due_at": at if last else at + wait, "last_error": outcome.error[:500]}


def _works(channel: Channel, at: datetime) -> None:
    if channel.dead_since:
        resolve_alert(source_kind="channel", source_key=str(channel.pk), at=at)
    channel.failing_since = channel.dead_since = channel.paused_until = None
    channel.last_sent_at, channel.last_error = at, ""
    channel.save(update_fields=["failing_since", "dead_since", "paused_until", "last_sent_at", "last_error"])


def _fails(channel: Channel, delivery: Delivery, outcome: Outcome, at: datetime, *, given_up: bool) -> None:
    channel.failing_since = channel.failing_since or at
    channel.last_error = outcome.error[:500]
    if pause := pause_of(outcome.retry_after):
        channel.paused_until = at + pause
    if given_up and delivery.kind != "test":
        channel.dead_since = channel.dead_since or at
        _raise_dead(channel, at)
    channel.save(update_fields=["failing_since", "last_error", "paused_until", "dead_since"])


def _raise_dead(channel: Channel, at: datetime) -> None:
    """Somebody must know that nobody is told; by a page where pages go through this channel."""
    pages = channel.user is not None or channel.routes.filter(route__in=["", "page"]).exists()
    raise_alert(
        source_kind="channel",
        source_key=str(channel.pk),
        team=channel.team,
        severity="critical" if pages else "warning",
        route="page" if pages else "ticket",
        title=f"Channel {channel.name} does not take messages",
        detail=f"{channel.shown}: {channel.last_error}",
        url=reverse("channel-edit", args=[channel.pk]),
        runbook=RUNBOOK,
        labels={"channel": channel.name},
        at=at,
    )


def expire(at: datetime, days: int = 90) -> int:
    """Remove deliveries that ended so long ago; returns how many."""
    old = Delivery.objects.filter(created_at__lt=at - timedelta(days=days)).exclude(state__in=UNDER_WAY)
    return old.delete()[0]
