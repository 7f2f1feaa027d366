"""Reads of runbooks that are being followed."""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from accounts.access import visible_teams
from accounts.models import User
from incidents.models import Incident, Runbook, RunbookRun, StepTick
from incidents.queries.incidents import visible_incidents
from incidents.queries.runbooks import visible_runbooks

# A runbook for one of these fits the other too: what to look at is the same.
NEIGHBOURS = {"data_drift": "model", "model": "prompt"}


@dataclass(frozen=True)
class Progress:
    """How far a run is: ticks in force by step key, and how many steps there are."""

    ticks: dict[str, StepTick]
    steps: int

    @property
    def done(self) -> int:
        return len(self.ticks)


def visible_runs(user: User) -> QuerySet[RunbookRun]:
    """Those in incidents the user sees, and those without one of their teams or their own."""
    alone = Q(incident=None) & (Q(team__in=visible_teams(user)) | Q(started_by=user))
    seen = Q(incident__in=visible_incidents(user).order_by().values("pk")) | alone
    return RunbookRun.objects.filter(seen).select_related(
        "runbook__team", "version", "incident__team", "team", "started_by"
    )


def ticks_of(run: RunbookRun) -> dict[str, StepTick]:
    """Step key → the tick in force."""
    return {tick.key: tick for tick in run.ticks.filter(undone_at=None).select_related("done_by")}


def open_run(incident: Incident) -> RunbookRun | None:
    """The run of the incident that was started last and is not finished, else the last one."""
    runs = incident.runbook_runs.select_related("runbook__team", "version", "incident__team", "started_by")
    return runs.filter(finished_at=None).first() or runs.first()


def fitting_runbooks(user: User, incident: Incident) -> tuple[list[Runbook], list[Runbook]]:
    """(those its alerts lead to or its failure mode has, all others) in use and for its team, by title."""
    books = list(visible_runbooks(user).filter(Q(team=incident.team_id) | Q(team=None), archived_at=None))
    slugs = {key.partition("#")[0] for key in _runbooks_of_alerts(incident)}
    mode = incident.failure_mode
    modes = {mode, NEIGHBOURS.get(mode, mode)} - {""}
    fits = [book for book in books if book.slug in slugs or book.failure_mode in modes]
    fits.sort(key=lambda book: (book.slug not in slugs, book.failure_mode != mode))
    return fits, [book for book in books if book not in fits]


def _runbooks_of_alerts(incident: Incident) -> list[str]:
    return list(
        incident.alert_groups.values_list("alerts__runbook", flat=True).exclude(alerts__runbook=None).distinct()
    )
