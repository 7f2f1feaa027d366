"""Silences and maintenance windows: who, why, until when."""

from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.actions import Author, audit
from incidents.models import Silence

LONGEST = timedelta(days=30)


def add_silence(*, author: Author, now: datetime, **values: Any) -> Silence:
    """Mute what matches from `starts_at` to `ends_at`. Raises ValidationError by field for times that cannot be."""
    silence = Silence(created_by=author.user, **values)
    if silence.ends_at <= max(silence.starts_at, now):
        raise ValidationError({"ends_at": "The end lies ahead, after the start."})
    if silence.ends_at - silence.starts_at > LONGEST:
        raise ValidationError({"ends_at": f"At most {LONGEST.days} days: switch off what is muted for longer."})
    with transaction.atomic():
        silence.save()
        audit(**author.signature, action="silence.add", target=named(silence), team=silence.team, after=facts(silence))
    return silence


def end_silence(*, author: Author, silence: Silence, now: datetime) -> None:
    """End it now; one that has not begun is taken away. Doing so twice changes nothing."""
    with transaction.atomic():
        current = Silence.objects.select_for_update().filter(pk=silence.pk, ends_at__gt=now).first()
        if current is None:
            return
        audit(**author.signature, action="silence.end", target=named(current), team=current.team, before=facts(current))
        if current.starts_at >= now:
            current.delete()
        else:
            current.ends_at = now
            current.save(update_fields=["ends_at"])


def named(silence: Silence) -> str:
    return f"silence {silence.pk}: {silence.reason}"


def facts(silence: Silence) -> dict[str, Any]:
    """What the audit log keeps."""
    return {
        "rule": silence.rule.slug if silence.rule else None,
        "labels": silence.labels,
        "starts_at": silence.starts_at.isoformat(),
        "ends_at": silence.ends_at.isoformat(),
        "is_maintenance": silence.is_maintenance,
    }
