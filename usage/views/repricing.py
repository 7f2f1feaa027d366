"""Re-pricing history: the offer with its estimate, the runs, one run's progress."""

from collections.abc import Mapping

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, require, visible_teams
from accounts.posted import author_of
from usage.forms.prices import RepricingForm
from usage.models import Repricing
from usage.pricing import queries
from usage.pricing.aliases import normal
from usage.pricing.book import current
from usage.pricing.repricing.estimate import Estimate, estimate
from usage.pricing.repricing.requests import cancel_repricing, request_repricing, resume_repricing
from usage.pricing.repricing.run import raw_floor, settled_at
from usage.tasks.repricing import nudge
from usage.views.prices import parse_moment, tabs

PAGE = 50


@login_required
@require_safe
def repricing_list(request: HttpRequest) -> HttpResponse:
    """The latest runs."""
    runs = queries.visible_repricings(request.user)[:PAGE]
    may_run = can_anywhere(request.user, "reprice.run")
    context = {"runs": runs, "may_run": may_run, "tabs": tabs("repricing-list"), "open": any(r.is_open for r in runs)}
    return render(request, "usage/prices/repricings.html", context)


@login_required
def repricing_new(request: HttpRequest) -> HttpResponse:
    """GET shows what re-pricing would change; POST asks for it.

    A link names the calls by provider, model, team (its slug), from and to; the form on the page by its own fields.
    """
    if not can_anywhere(request.user, "reprice.run"):
        require(request.user, "reprice.run")
    data = request.POST if request.method == "POST" else _asked(request)
    form = RepricingForm(data, user=request.user)
    valid = form.is_valid()
    if valid and request.method == "POST":
        return _ask(request, form.cleaned_data)
    context = {"form": form, "tabs": tabs("repricing-list"), "floor": raw_floor(timezone.now())}
    if valid:
        context |= {"asked": form.cleaned_data, "estimate": _estimate(form.cleaned_data, request.user)}
    return render(request, "usage/prices/repricing_new.html", context)


def _asked(request: HttpRequest) -> Mapping | None:
    get = request.GET
    if "show" in get or "model" not in get:
        return get if "show" in get else None
    team = visible_teams(request.user).filter(slug=get.get("team", "")).first()
    names = {"provider": get.get("provider", ""), "model": get.get("model", ""), "team": team.pk if team else ""}
    start, end = parse_moment(get.get("from")), parse_moment(get.get("to"))
    moments = {"start": start, "end": end if end and end < timezone.now() else None}
    return names | {name: timezone.localtime(at).strftime("%Y-%m-%dT%H:%M") for name, at in moments.items() if at}


def _estimate(asked: dict, user) -> Estimate:
    teams = [asked["team"].pk] if asked["team"] else None
    return estimate(
        current(),
        team_ids=teams,
        provider=normal(asked["provider"]),
        model=normal(asked["model"]),
        start=asked["start"],
        end=asked["end"] or timezone.now(),
    )


def _ask(request: HttpRequest, asked: dict) -> HttpResponse:
    require(request.user, "reprice.run", asked["team"])
    try:
        job = request_repricing(author=author_of(request), **asked)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("repricing-list")
    transaction.on_commit(lambda: nudge(job.pk))
    return redirect("repricing-detail", pk=job.pk)


@login_required
@require_safe
def repricing_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Progress and result of one run; refreshes itself while it runs."""
    job = get_object_or_404(queries.visible_repricings(request.user), pk=pk)
    total = max(job.events_total, job.events_done)
    looking_again = job.state == Repricing.State.RUNNING and (job.cursor or {}).get("pass") == "recheck"
    return render(
        request,
        "usage/prices/repricing.html",
        {
            "job": job,
            "total": total,
            "share": job.events_done / total if total else (0 if job.is_open else 1),
            "waits_until": settled_at(job) if looking_again else None,
            "may_run": can(request.user, "reprice.run", job.team),
            "floor": raw_floor(timezone.now()),
            "tabs": tabs("repricing-list"),
        },
    )


@login_required
@require_POST
def repricing_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    job = get_object_or_404(queries.visible_repricings(request.user), pk=pk)
    require(request.user, "reprice.run", job.team)
    if cancel_repricing(job=job, author=author_of(request)):
        messages.success(request, "Cancelled. Calls priced again so far keep their new cost.")
    return redirect("repricing-detail", pk=pk)


@login_required
@require_POST
def repricing_resume(request: HttpRequest, pk: int) -> HttpResponse:
    job = get_object_or_404(queries.visible_repricings(request.user), pk=pk)
    require(request.user, "reprice.run", job.team)
    if resume_repricing(job=job, author=author_of(request)):
        transaction.on_commit(lambda: nudge(pk))
    return redirect("repricing-detail", pk=pk)
