"""Keeping channels and routes: each change with its audit row, which never holds a secret."""

import uuid
from dataclasses import dataclass
from datetime import datetime, time
from importlib import import_module

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.actions import Author, audit
from accounts.models import Team, User
from incidents.actions.notifying import nudge, put
from incidents.models import Channel, Delivery, NotificationRoute
from incidents.outbound.by_webhook import new_secret
from incidents.safe_http import Refused
from incidents.seal import seal


@dataclass(frozen=True)
class ChannelFacts:
    """What a person says of a channel. `address` empty: the one that is stored stays."""

    name: str
    kind: str
    address: str = ""
    per_minute: int = 10
    quiet_from: time | None = None
    quiet_until: time | None = None
    zone: str = "UTC"


def add_channel(*, author: Author, team: Team | None, user: User | None, facts: ChannelFacts) -> tuple[Channel, str]:
    """A new channel of a team, a person or (both None) the organisation; with the secret a webhook is signed by.

    The secret exists only in this return value; "" for other kinds. Raises ValidationError by field.
    """
    channel = Channel(team=team, user=user, kind=facts.kind)
    if not facts.address.strip():
        raise ValidationError({"address": "Say where to send."})
    _set(channel, facts)
    secret = new_secret() if facts.kind == Channel.Kind.WEBHOOK else ""
    channel.signing_secret = seal(secret) if secret else ""
    with transaction.atomic():
        channel.save()
        _audit(author, channel, "channel.added", after=facts_of(channel))
    return channel, secret


def edit_channel(*, author: Author, channel: Channel, facts: ChannelFacts) -> Channel:
    """Change it; what it is (`kind`) and whose stays. Raises ValidationError by field."""
    with transaction.atomic():
        channel = _locked(channel)
        before = facts_of(channel)
        _set(channel, facts)
        channel.save()
        if before != facts_of(channel) or facts.address:
            _audit(author, channel, "channel.edited", before=before, after=facts_of(channel))
    return channel


def _set(channel: Channel, facts: ChannelFacts) -> None:
    if facts.address.strip():
        try:
            channel.shown = import_module(f"incidents.outbound.by_{channel.kind}").shown(facts.address.strip())
        except Refused as error:
            raise ValidationError({"address": str(error)}) from None
        channel.address = seal(facts.address.strip())
    if (facts.quiet_from is None) != (facts.quiet_until is None) or (
        facts.quiet_from is not None and facts.quiet_from == facts.quiet_until
    ):
        raise ValidationError({"quiet_until": "Quiet hours need a beginning and a different end."})
    channel.name, channel.per_minute, channel.zone = facts.name, facts.per_minute, facts.zone
    channel.quiet_from, channel.quiet_until = facts.quiet_from, facts.quiet_until


def renew_secret(*, author: Author, channel: Channel) -> str:
    """Another signing secret for a webhook, at once; returns it, which nobody can read later."""
    secret = new_secret()
    with transaction.atomic():
        Channel.objects.filter(pk=channel.pk, kind=Channel.Kind.WEBHOOK).update(signing_secret=seal(secret))
        _audit(author, channel, "channel.secret_renewed")
    return secret


def switch(*, author: Author, channel: Channel, on: bool) -> None:
    """Switch a channel on or off. What waits for one that is switched off is dropped."""
    with transaction.atomic():
        if not Channel.objects.filter(pk=channel.pk, is_active=not on).update(is_active=on):
            return
        if not on:
            waiting = Delivery.objects.filter(channel=channel, state=Delivery.State.WAITING)
            waiting.update(state=Delivery.State.DROPPED, last_error="The channel was switched off.")
        _audit(author, channel, "channel.switched_on" if on else "channel.switched_off")


def remove_channel(*, author: Author, channel: Channel) -> None:
    """Remove it with its routes and its deliveries."""
    with transaction.atomic():
        _audit(author, channel, "channel.removed", before=facts_of(channel))
        channel.delete()


def add_route(
    *, author: Author, team: Team | None, channel: Channel, least_severity: str, route: str
) -> NotificationRoute:
    """Send to `channel` what matches. Raises ValidationError where it is there, or the channel is another team's."""
    if channel.user_id is not None or channel.team_id not in (None, team.pk if team else None):
        raise ValidationError({"channel": "A route leads to a channel of its team or of the organisation."})
    try:
        with transaction.atomic():
            made = NotificationRoute.objects.create(
                team=team, channel=channel, least_severity=least_severity, route=route
            )
            audit(**author.signature, action="notification_route.added", target=made, team=team)
    except IntegrityError:
        raise ValidationError("This route is there already.") from None
    return made


def remove_route(*, author: Author, route: NotificationRoute) -> None:
    with transaction.atomic():
        audit(**author.signature, action="notification_route.removed", target=route, team=route.team)
        route.delete()


def send_test(*, author: Author, channel: Channel) -> Delivery:
    """Put a test message into the outbox, whatever the routes and quiet hours; returns its delivery."""
    now, key = timezone.now(), f"test:{uuid.uuid4()}"
    facts = {"kind": "test", "team": channel.team, "severity": "info", "route": "page", "url": "/alerts/channels/"}
    who = author.user or author.label
    facts |= {"title": f"This is a test of {channel.name}", "body": f"Sent by {who}. Nothing is wrong."}
    with transaction.atomic():
        put([channel], facts | {"key": key, "happened_at": now})
        _audit(author, channel, "channel.tested")
    return Delivery.objects.get(channel=channel, key=key)


def resend(*, author: Author, delivery: Delivery, at: datetime) -> bool:
    """Send again what was sent or given up; False where it is under way or in a digest. It keeps its id."""
    again = (Delivery.State.SENT, Delivery.State.FAILED, Delivery.State.DROPPED)
    with transaction.atomic():
        ended = Delivery.objects.filter(pk=delivery.pk, state__in=again, channel__is_active=True)
        if not ended.update(state=Delivery.State.WAITING, due_at=at, attempts=0):
            return False
        _audit(author, delivery.channel, "delivery.resent", after={"title": delivery.title})
        transaction.on_commit(nudge, robust=True)
    return True


def facts_of(channel: Channel) -> dict[str, object]:
    """What a channel says, for the audit log; its address masked."""
    names = ("name", "kind", "shown", "per_minute", "zone", "is_active")
    quiet = [one.isoformat("minutes") if one else None for one in (channel.quiet_from, channel.quiet_until)]
    return {name: getattr(channel, name) for name in names} | {"quiet_hours": quiet}


def _locked(channel: Channel) -> Channel:
    return Channel.objects.select_for_update(of=("self",)).select_related("team", "user").get(pk=channel.pk)


def _audit(author: Author, channel: Channel, action: str, **facts) -> None:
    audit(**author.signature, action=action, target=channel, team=channel.team, **facts)
