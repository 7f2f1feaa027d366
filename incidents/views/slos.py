"""SLOs: the list with where each stands, one SLO, making, trying, editing and archiving it."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, person_of, require
from accounts.posted import author_of, report
from accounts.rules import changed_facts
from incidents.actions.slos import check, save_slo, set_archived
from incidents.forms.slos import SloForm, as_initial
from incidents.models import Slo
from incidents.queries.slo_evidence import culprits, history, watches, would_have_fired
from incidents.queries.slos import Attainment, attainment, visible_slos
from incidents.views import slo_shown
from incidents.views.tabs import alert_tabs
from usage.scope import zone_of

PREVIEW_DAYS = 30
LISTED = 50  # objectives, unless all are asked for


@login_required
@require_safe
def slo_list(request: HttpRequest) -> HttpResponse:
    """Objectives in force, least budget first; `team` narrows, `show=archived` are those at rest, `rows=all` is all."""
    user, now = person_of(request), timezone.now()
    archived = request.GET.get("show") == "archived"
    visible = visible_slos(user)
    chosen = visible.filter(is_active=not archived)
    if team := request.GET.get("team"):
        chosen = chosen.filter(team__slug=team)
    found = sorted(attainment(chosen, now), key=lambda one: (one.left is None, one.left or 0))
    listed = found if request.GET.get("rows") == "all" else found[:LISTED]
    return render(
        request,
        "incidents/slos/list.html",
        {
            "rows": [_row(one) for one in listed],
            "more": len(found) - len(listed),
            "all_url": f"?{urlencode({'team': team or '', 'show': 'archived' if archived else '', 'rows': 'all'})}",
            "lede": slo_shown.summary(found),
            "any": visible.exists(),
            "archived": archived,
            "team": team or "",
            "tabs": alert_tabs("slo-list"),
            "may_edit": can_anywhere(user, "rule.edit"),
        },
    )


def _row(one: Attainment) -> dict[str, Any]:
    return {
        "one": one,
        "promise": slo_shown.promise(one.slo),
        "attained": slo_shown.attained_text(one.attained),
        "budget": slo_shown.budget_text(one),
        "rate": slo_shown.rate_text(one.now.burn_rate),
        "lasts": slo_shown.lasts_text(one),
    }


@login_required
@require_safe
def slo_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Where it stands, how fast it burns, how the budget went, where the bad units come from, what watches it."""
    user, now = person_of(request), timezone.now()
    slo = get_object_or_404(visible_slos(user), pk=pk)
    (one,) = attainment([slo], now)
    rules = slo.rules.select_related("runbook_section__runbook")
    return render(
        request,
        "incidents/slos/detail.html",
        _row(one)
        | {
            "slo": slo,
            "target": slo_shown.target_text(slo.target),
            "noun": slo_shown.noun(slo),
            "budget_chart": slo_shown.budget_chart(one, now, zone_of(user)),
            "burn_chart": slo_shown.burn_chart(slo, now, zone_of(user)),
            "culprits": culprits(slo, now),
            "watches": [
                (watch, *map(slo_shown.rate_text, (watch.rule.threshold, watch.long.burn_rate, watch.short.burn_rate)))
                for watch in watches(slo, rules, now)
            ],
            "history": [(entry, changed_facts(entry.before, entry.after)) for entry in history(slo)[:20]],
            "tabs": alert_tabs("slo-list"),
            "may_edit": can(user, "rule.edit", slo.team),
        },
    )


@login_required
def slo_add(request: HttpRequest) -> HttpResponse:
    """Make an objective."""
    if not can_anywhere(request.user, "rule.edit"):
        require(request.user, "rule.edit")
    return _edit(request, Slo(), SloForm(request.POST or None, user=person_of(request)))


@login_required
def slo_edit(request: HttpRequest, pk: int) -> HttpResponse:
    user = person_of(request)
    slo = get_object_or_404(visible_slos(user), pk=pk)
    require(user, "rule.edit", slo.team)
    return _edit(request, slo, SloForm(request.POST or None, user=user, initial=as_initial(slo)))


def _edit(request: HttpRequest, slo: Slo, form: SloForm) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        require(request.user, "rule.edit", form.cleaned_data["team"])
        version = form.cleaned_data["version"] if slo.pk else None
        try:
            saved = save_slo(author=author_of(request), slo=slo, values=form.values, version=version)
        except ValidationError as error:
            report(form, error)
        else:
            messages.success(request, f"{saved.name} is saved. Its burn rate rules follow it.")
            return redirect("slo-detail", saved.pk)
    known = slo if slo.pk else None
    return render(request, "incidents/slos/form.html", {"form": form, "slo": known, "tabs": alert_tabs("slo-list")})


@login_required
@require_POST
def slo_preview(request: HttpRequest) -> HttpResponse:
    """How the objective of the form would have fared in the last thirty days; a part of the form's page."""
    if not can_anywhere(request.user, "rule.edit"):
        require(request.user, "rule.edit")
    form = SloForm(request.POST, user=person_of(request))
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        require(request.user, "rule.edit", form.cleaned_data["team"])
        draft = Slo(pk=0, **(form.values | {"window_days": PREVIEW_DAYS}))
        try:
            check(draft)
        except ValidationError as error:
            report(form, error)
        else:
            now = timezone.now()
            (one,) = attainment([draft], now)
            draft.window_days = form.cleaned_data["window_days"]
            context |= _row(one) | {"days": PREVIEW_DAYS, "target": slo_shown.target_text(draft.target)}
            context["told"] = would_have_fired(draft, PREVIEW_DAYS, now)
    return render(request, "incidents/slos/preview.html", context)


@login_required
@require_POST
def slo_archive(request: HttpRequest, pk: int) -> HttpResponse:
    """Archive it, or with `restore` take it up again."""
    slo = get_object_or_404(visible_slos(person_of(request)), pk=pk)
    require(request.user, "rule.edit", slo.team)
    archived = "restore" not in request.POST
    set_archived(author=author_of(request), slo=slo, archived=archived)
    done = "is archived; its rules rest" if archived else "is in force again, with its rules"
    messages.success(request, f"{slo.name} {done}.")
    return redirect("slo-detail", pk)
