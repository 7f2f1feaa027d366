"""Running a re-pricing: claim, chunks, finish. A crash at any point loses at most the chunk in flight.

Every chunk is one transaction: the changed events, their marks, and the run's own row with its cursor and counters.
The run's row is locked first and must still be ours, so a cancelled or taken-over run writes nothing more.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import OperationalError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.actions import audit
from aiops_site import formats
from usage.models import ChangeMarker, PriceBook, Repricing
from usage.partitions import raw_horizon
from usage.pricing.book import BOOK_ID, current
from usage.pricing.repricing import history, raw
from usage.pricing.repricing.calls import series_of, series_with_answers, teams_of
from usage.pricing.repricing.progress import EVENTS, PASSES, RECHECK, ROLLUPS, Chunk, Cursor

LEASE = timedelta(minutes=2)
# No request takes longer from reading the price book to its commit (usage.ingest.write: four attempts of at most 10 s
# waiting and 30 s writing). An event priced with the book before a change is committed by then, so looking again at
# what was received around the change finds it, wherever its key sorts.
SETTLE = timedelta(seconds=180)
LONG_AGO = timedelta(days=36_500)
# Never the state: it is not for a chunk to take back a cancel.
PROGRESS_FIELDS = [
    "cursor",
    "claimable_at",
    "events_done",
    "events_changed",
    "events_newly_priced",
    "hours_from_rollups",
    "hours_skipped",
    "cost_before",
    "cost_after",
]
Clock = Callable[[], datetime]


class Stopped(Exception):
    """The run was cancelled, or another worker has taken it over."""


def run_repricing(job_id: int, clock: Clock = timezone.now) -> Repricing.State | None:
    """Run until done, cancelled, or waiting for calls in flight; returns the state, None when it was not to be had.

    Safe to call at any time, any number of times, from any process.
    """
    attempt = _claim(job_id, clock())
    if attempt is None:
        return None
    try:
        while _step(job_id, attempt, clock):
            pass
    except (Stopped, OperationalError):
        # Not ours any more, or no database: whoever claims it next goes on from the cursor.
        pass
    except Exception as exc:
        _fail(job_id, attempt, exc)
        raise
    return Repricing.State(Repricing.objects.values_list("state", flat=True).get(pk=job_id))


def due(now: datetime) -> list[int]:
    """Runs that wait for a worker: never started, left by a dead one, or waiting until now."""
    open_states = [Repricing.State.WAITING, Repricing.State.RUNNING]
    return list(
        Repricing.objects.filter(state__in=open_states, claimable_at__lte=now)
        .order_by("pk")
        .values_list("pk", flat=True)
    )


def _claim(job_id: int, now: datetime) -> int | None:
    open_states = [Repricing.State.WAITING, Repricing.State.RUNNING]
    claimed = Repricing.objects.filter(pk=job_id, state__in=open_states, claimable_at__lte=now).update(
        state=Repricing.State.RUNNING, claimable_at=now + LEASE, attempt=F("attempt") + 1
    )
    return Repricing.objects.values_list("attempt", flat=True).get(pk=job_id) if claimed else None


def _step(job_id: int, attempt: int, clock: Clock) -> bool:
    """One chunk in one transaction; False when there is nothing to do now."""
    with transaction.atomic():
        ours = Repricing.objects.filter(pk=job_id, attempt=attempt, state=Repricing.State.RUNNING)
        job = ours.select_for_update(of=("self",)).select_related("team", "requested_by").first()
        if job is None:
            raise Stopped
        now = clock()
        place = Cursor.from_json(job.cursor) if job.cursor else Cursor(EVENTS, 0, job.start)
        if place.stage == RECHECK and _needed(job, RECHECK) and settled_at(job) > now:
            job.claimable_at = settled_at(job)
            job.save(update_fields=["claimable_at"])
            return False
        return _advance(job, place, now)


def settled_at(job: Repricing) -> datetime:
    """When every call priced with the book before the change is committed."""
    return job.created_at + SETTLE


def _advance(job: Repricing, place: Cursor, now: datetime) -> bool:
    team = next((team for team in teams_of(job) if team >= place.team), None)
    if team is None or not _needed(job, place.stage):
        return _next_pass(job, place, now)
    if team > place.team:
        place = Cursor(place.stage, team, job.start)
    chunk = _chunk(job, place, now)
    following = chunk.cursor or Cursor(place.stage, team + 1, job.start)
    _save_progress(job, place, chunk, following, now)
    return True


def _needed(job: Repricing, stage: str) -> bool:
    """The second look is for calls that were in flight while the price changed."""
    if stage != RECHECK:
        return True
    changed_at = PriceBook.objects.filter(pk=BOOK_ID).values_list("changed_at", flat=True).first()
    return changed_at is not None and changed_at + SETTLE >= job.created_at


def _next_pass(job: Repricing, place: Cursor, now: datetime) -> bool:
    following = PASSES[PASSES.index(place.stage) + 1 :]
    if not following:
        _finish(job, now)
        return False
    _save_progress(job, place, Chunk(cursor=None), Cursor(following[0], 0, job.start), now)
    return True


def raw_floor(now: datetime) -> datetime:
    """The first moment whose raw events are surely kept (partitions go a day after their events are refused)."""
    day = raw_horizon(now) - timedelta(days=1)
    return day.replace(hour=0, minute=0, second=0, microsecond=0)


def _chunk(job: Repricing, place: Cursor, now: datetime) -> Chunk:
    book = current()
    floor = raw_floor(now)
    if place.stage == ROLLUPS:
        return history.reprice_hours(place.team, place, min(job.end, floor), series_of(job, place.team), book)
    series = series_with_answers(job, place.team, book)
    since = job.created_at - (SETTLE if place.stage == RECHECK else LONG_AGO)
    place = place if place.at >= floor else Cursor(place.stage, place.team, floor)
    return raw.reprice_chunk(raw.Span(place.team, job.end, since), place, series, book)


def _save_progress(job: Repricing, place: Cursor, chunk: Chunk, following: Cursor, now: datetime) -> None:
    job.cursor = following.as_json()
    job.claimable_at = now + LEASE
    if place.stage == EVENTS:
        job.events_done += chunk.done
    job.events_changed += chunk.changed
    job.events_newly_priced += chunk.newly_priced
    job.hours_from_rollups += chunk.hours
    job.hours_skipped += chunk.skipped
    job.cost_before += chunk.before
    job.cost_after += chunk.after
    job.save(update_fields=PROGRESS_FIELDS)


def _finish(job: Repricing, now: datetime) -> None:
    job.state, job.finished_at, job.cursor = Repricing.State.DONE, now, None
    job.save()
    audit(
        actor=job.requested_by,
        action="reprice.done",
        target=f"{job.provider or 'no provider'} {job.model}",
        team=job.team,
        before={"cost_usd": str(job.cost_before)},
        after={"cost_usd": str(job.cost_after), "calls": job.events_changed, "hours": job.hours_from_rollups},
        label=f"re-pricing {job.pk}",
    )
    if job.events_changed:
        ChangeMarker.objects.create(
            team=job.team,
            at=now,
            kind=ChangeMarker.Kind.PRICE,
            title=f"Re-priced {job.model}: {_signed(job)} on {formats.counted(job.events_changed, 'calls')}"[:200],
            description=f"Calls from {job.start:%Y-%m-%d %H:%M} to {job.end:%Y-%m-%d %H:%M} UTC.",
            ref=job.model,
            created_by=job.requested_by,
        )


def _signed(job: Repricing) -> str:
    change = job.change_usd
    return f"{'-' if change < 0 else '+'}${abs(change):,.2f}"


def _fail(job_id: int, attempt: int, exc: Exception) -> None:
    Repricing.objects.filter(pk=job_id, attempt=attempt, state=Repricing.State.RUNNING).update(
        state=Repricing.State.FAILED, error=f"{type(exc).__name__}: {exc}"[:2000], finished_at=timezone.now()
    )
