"""The reconciliation page: the latest proof, its days, and a button for a new one."""

from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe
from kombu.exceptions import OperationalError

from accounts.access import visible_teams
from usage import reconcile
from usage.models import ReconciledDay, Reconciliation
from usage.rollups import lag_seconds
from usage.tasks.reconciliation import reconcile_run

RUNS_SHOWN = 10


@login_required
@require_safe
def reconcile_page(request: HttpRequest, run_id: int | None = None) -> HttpResponse:
    """The latest run, or the one asked for; only the days of teams the viewer may see."""
    run = get_object_or_404(Reconciliation, pk=run_id) if run_id else Reconciliation.objects.first()
    days = _days(run, request.user) if run else []
    context = {
        "run": run,
        "days": days,
        "wrong": [day for day in days if day.verdict == ReconciledDay.Verdict.DIFFERENT],
        "waiting": [day for day in days if day.verdict == ReconciledDay.Verdict.CATCHING_UP],
        "runs": Reconciliation.objects.all()[:RUNS_SHOWN],
        "lag": lag_seconds(),
        "busy": run is not None and run.state in ("waiting", "running"),
    }
    return render(request, "usage/reconcile.html", context)


def _days(run: Reconciliation, user) -> list[ReconciledDay]:
    return list(run.days.filter(team__in=visible_teams(user)).select_related("team"))


@login_required
@require_POST
def reconcile_start(request: HttpRequest) -> HttpResponse:
    """Ask for a run over every day whose raw events are kept, unless one is under way."""
    if Reconciliation.objects.filter(state__in=("waiting", "running")).exists():
        messages.info(request, "A reconciliation is already under way.")
        return redirect("reconcile")
    end = timezone.now().date() + timedelta(days=1)
    run = reconcile.request_run(
        start=end - timedelta(days=settings.RAW_RETENTION_DAYS + 1), end=end, actor=request.user
    )
    transaction.on_commit(lambda: _nudge(run.pk))
    return redirect("reconcile")


def _nudge(run_id: int) -> None:
    """Without a broker the run waits for `reconcile_waiting`."""
    try:
        reconcile_run.apply_async([run_id], retry=False)
    except OperationalError:
        return
