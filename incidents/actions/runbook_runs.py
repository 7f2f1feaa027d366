"""Following a runbook: starting, ticking, taking back, finishing. In an incident all of it is on its timeline."""

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from accounts.actions import Author, audit
from accounts.models import Team
from incidents.actions.timeline import record
from incidents.models import Incident, Runbook, RunbookRun, StepTick, TimelineEntry
from incidents.rules.markdown import Part


def start_run(
    *, author: Author, book: Runbook, at: datetime, incident: Incident | None = None, team: Team | None = None
) -> RunbookRun:
    """Follow the latest version of a runbook; in an incident the run that is open already, where there is one."""
    open_runs = RunbookRun.objects.filter(runbook=book, incident=incident, finished_at=None)
    if incident and (run := open_runs.first()):
        return run
    facts: dict[str, Any] = {"version": book.versions.get(number=book.version), "started_by": author.user}
    facts |= {"team": incident.team if incident else team, "is_drill": bool(incident and incident.is_drill)}
    try:
        with transaction.atomic():
            run = RunbookRun.objects.create(runbook=book, incident=incident, started_at=at, **facts)
            _tell(run, author, "runbook.started", f"Runbook {book.title} is being followed", at)
    except IntegrityError:
        return open_runs.get()
    return run


def tick_step(*, author: Author, run: RunbookRun, step: Part, at: datetime) -> bool:
    """Mark a step as done; whether it was not yet."""
    facts = {"text": step.plain, "done_by": author.user, "done_at": at}
    with transaction.atomic():
        _, made = StepTick.objects.get_or_create(run=run, key=step.key, undone_at=None, defaults=facts)
        if made:
            _tell(run, author, "runbook.step_done", f"Done: {step.plain}", at, step.key)
    return made


def untick_step(*, author: Author, run: RunbookRun, step: Part, at: datetime) -> bool:
    """Take back what was ticked; whether it was."""
    with transaction.atomic():
        ticked = StepTick.objects.filter(run=run, key=step.key, undone_at=None)
        taken_back = bool(ticked.update(undone_at=at, undone_by=author.user))
        if taken_back:
            _tell(run, author, "runbook.step_taken_back", f"Not done after all: {step.plain}", at, step.key)
    return taken_back


def finish_run(*, author: Author, run: RunbookRun, at: datetime) -> bool:
    """End it; whether it was open."""
    with transaction.atomic():
        ended = bool(RunbookRun.objects.filter(pk=run.pk, finished_at=None).update(finished_at=at))
        if ended:
            _tell(run, author, "runbook.finished", f"Runbook {run.runbook.title} is finished", at)
    return ended


def _tell(run: RunbookRun, author: Author, action: str, text: str, at: datetime, key: str = "") -> None:
    section = key.partition(":")[0]
    url = f"/runbooks/{run.runbook.slug}/{'#' if section else ''}{section}"
    facts = {"run": run.pk, "runbook": run.runbook.slug} | ({"step": key} if key else {})
    if run.incident:
        record(run.incident, TimelineEntry.Kind.RUNBOOK, text, at=at, author=author.user, url=url, data=facts)
    audit(**author.signature, action=action, target=run.runbook, team=run.team, after=facts, reason=text[:500])
