"""Asking for a run, cancelling it, taking it up again."""

from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.actions import Author, audit
from accounts.models import Team
from usage.models import Repricing
from usage.pricing.aliases import normal
from usage.pricing.repricing.estimate import count_calls
from usage.rules.calendar import is_plausible

# Events may be stamped a few minutes ahead of our clock.
AHEAD = timedelta(minutes=10)


def request_repricing(
    *, team: Team | None, provider: str, model: str, start: datetime, end: datetime | None = None, author: Author
) -> Repricing:
    """Ask for every call of the model in [start, end) to be priced again with today's book; `end` None: until now.

    Returns the run, waiting for a worker; the caller nudges one after commit. An equal run that has not begun is
    returned instead of a second one. Raises ValidationError on an empty window.
    """
    now = timezone.now()
    end = min(end, now + AHEAD) if end else now + AHEAD
    if not is_plausible(start):
        raise ValidationError({"start": "The year must be from 2000 to 2200."})
    if start >= end:
        raise ValidationError({"start": "The start must lie before the end, and not in the future."})
    wanted = {"team": team, "provider": normal(provider), "model": normal(model), "start": start}
    waiting = Repricing.objects.filter(state=Repricing.State.WAITING, end__gte=end - AHEAD, **wanted).first()
    if waiting is not None:
        return waiting
    with transaction.atomic():
        total = count_calls(team_ids=[team.pk] if team else None, start=start, end=end, **_names(wanted))
        job = Repricing.objects.create(end=end, events_total=total, requested_by=author.user, **wanted)
        _record(job, "reprice.requested", author)
    return job


def _names(wanted: dict) -> dict:
    return {"provider": wanted["provider"], "model": wanted["model"]}


def cancel_repricing(*, job: Repricing, author: Author) -> bool:
    """Stop the run after its chunk in flight; what is done stays done. False when it was over already."""
    open_states = [Repricing.State.WAITING, Repricing.State.RUNNING]
    with transaction.atomic():
        stopped = Repricing.objects.filter(pk=job.pk, state__in=open_states).update(
            state=Repricing.State.CANCELLED, finished_at=timezone.now()
        )
        if stopped:
            _record(job, "reprice.cancelled", author)
    return bool(stopped)


def resume_repricing(*, job: Repricing, author: Author) -> bool:
    """Take up a failed or cancelled run where it stopped. False when it is open or done."""
    stopped_states = [Repricing.State.FAILED, Repricing.State.CANCELLED]
    with transaction.atomic():
        resumed = Repricing.objects.filter(pk=job.pk, state__in=stopped_states).update(
            state=Repricing.State.WAITING, error="", finished_at=None, claimable_at=timezone.now()
        )
        if resumed:
            _record(job, "reprice.resumed", author)
    return bool(resumed)


def _record(job: Repricing, action: str, author: Author) -> None:
    audit(
        action=action,
        target=f"{job.provider or 'no provider'} {job.model}",
        team=job.team,
        after={"run": job.pk, "start": job.start.isoformat(), "end": job.end.isoformat()},
        **author.signature,
    )
