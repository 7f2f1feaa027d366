"""The optimisation backlog: items by ROI, suggestions with their arithmetic, adding, editing, removing, CSV."""

import csv
from io import StringIO

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, get_team, person_of, require, visible_teams
from accounts.posted import author_of, text_of
from budgets.backlog import FACTS, accept, add_item, edit_item, facts_of, remove_item
from budgets.forms.backlog import EditForm, ItemForm
from budgets.models import BacklogItem
from budgets.queries.suggested import suggested
from budgets.rules.focus import safe
from budgets.views.reports import of_visible
from budgets.views.shown import report_tabs

SUGGESTED = 12
SORTS = {
    "roi": lambda item: item.roi,
    "saving": lambda item: item.monthly_saving,
    "effort": lambda item: item.effort_weeks,
    "idea": lambda item: item.idea.lower(),
    "state": lambda item: list(BacklogItem.State.values).index(item.state),
}
CLOSED = ("done", "dropped")


@login_required
@require_safe
def backlog_list(request: HttpRequest) -> HttpResponse:
    """Open items by ROI; `show=all` has done and dropped ones too, `sort` orders."""
    user = person_of(request)
    items = list(of_visible(BacklogItem.objects.all(), user))
    sort = request.GET.get("sort", "-roi")
    shown = [item for item in items if request.GET.get("show") == "all" or item.state not in CLOSED]
    shown.sort(key=SORTS.get(sort.lstrip("-"), SORTS["roi"]), reverse=sort.startswith("-"))
    teams = list(visible_teams(user))
    ideas = suggested(teams, timezone.now())
    names = {team.slug: team for team in teams}
    return render(
        request,
        "budgets/backlog/list.html",
        {
            "items": [(item, can(user, "budget.edit", item.team)) for item in shown],
            "open_saving": sum(item.monthly_saving for item in items if item.state not in CLOSED),
            "hidden": len(items) - len(shown),
            "ideas": [(one, names[one.team], can(user, "budget.edit", names[one.team])) for one in ideas[:SUGGESTED]],
            "more": max(len(ideas) - SUGGESTED, 0),
            "tabs": report_tabs("backlog-list"),
            "may_edit": can_anywhere(user, "budget.edit"),
        },
    )


@login_required
def backlog_add(request: HttpRequest) -> HttpResponse:
    user = person_of(request)
    if not can_anywhere(user, "budget.edit"):
        require(user, "budget.edit")
    form = ItemForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        require(user, "budget.edit", form.team_chosen)
        add_item(author=author_of(request), team=form.team_chosen, facts=form.facts)
        return redirect("backlog-list")
    return render(request, "budgets/backlog/form.html", {"form": form})


@login_required
def backlog_edit(request: HttpRequest, pk: int) -> HttpResponse:
    item = _item(request, pk)
    form = EditForm(request.POST or None, user=person_of(request), initial=facts_of(item))
    if request.method == "POST" and form.is_valid():
        edit_item(author=author_of(request), item=item, facts=form.facts)
        messages.success(request, f"{item} is changed.")
        return redirect("backlog-list")
    return render(request, "budgets/backlog/form.html", {"form": form, "item": item})


@login_required
@require_POST
def backlog_remove(request: HttpRequest, pk: int) -> HttpResponse:
    item = _item(request, pk)
    remove_item(author=author_of(request), item=item)
    messages.success(request, f"{item} is removed.")
    return redirect("backlog-list")


@login_required
@require_POST
def backlog_accept(request: HttpRequest) -> HttpResponse:
    """The suggestion of that team and key, worked out anew."""
    team = get_team(request.user, text_of(request, "team"))
    require(request.user, "budget.edit", team)
    found = [one for one in suggested([team], timezone.now()) if one.key == request.POST.get("key")]
    if not found:
        messages.info(request, "The figures no longer suggest this, or it is in the backlog already.")
        return redirect("backlog-list")
    item = accept(author=author_of(request), team=team, suggestion=found[0])
    messages.success(request, f"{item} is in the backlog.")
    return redirect("backlog-edit", item.pk)


@login_required
@require_safe
def backlog_csv(request: HttpRequest) -> HttpResponse:
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(["team", *FACTS, "roi_usd_a_month_by_week"])
    for item in of_visible(BacklogItem.objects.all(), request.user):
        cells = [safe(str(value)) for value in facts_of(item).values()]
        writer.writerow([item.team.slug if item.team else "", *cells, f"{item.roi:.2f}"])
    response = HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="backlog-{timezone.localdate():%Y-%m-%d}.csv"'
    return response


def _item(request: HttpRequest, pk: int) -> BacklogItem:
    """An item that the viewer may edit; 404 where they do not see it."""
    item = get_object_or_404(of_visible(BacklogItem.objects.all(), request.user), pk=pk)
    require(request.user, "budget.edit", item.team)
    return item
