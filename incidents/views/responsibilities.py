"""The owner matrix: who is responsible, accountable, consulted and informed."""

from itertools import groupby

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from accounts.access import can, can_anywhere, person_of, require, visible_teams
from accounts.posted import author_of
from incidents.actions.responsibilities import add_responsibility, remove_responsibility
from incidents.forms.responsibilities import ResponsibilityForm
from incidents.models import Responsibility


@login_required
def owner_list(request: HttpRequest) -> HttpResponse:
    """The matrix by team and feature, and adding to it."""
    user = person_of(request)
    may_edit = can_anywhere(user, "incident.work")
    form = ResponsibilityForm(request.POST or None, user=user)
    if request.method == "POST":
        if not may_edit:
            require(user, "incident.work")
        if form.is_valid():
            add_responsibility(author=author_of(request), cell=form.save(commit=False))
            messages.success(request, f"{form.instance.who} is {form.instance.get_duty_display().lower()}.")
            return redirect("owner-list")
    context = {"rows": _matrix(request), "duties": Responsibility.Duty.labels, "form": form, "may_edit": may_edit}
    return render(request, "incidents/incidents/owners.html", context)


def _matrix(request: HttpRequest) -> list[tuple[Responsibility, bool, list[list[Responsibility]]]]:
    """(a cell for team and feature, whether the viewer may edit, the cells of each duty) of each row."""
    cells = Responsibility.objects.filter(team__in=visible_teams(request.user)).select_related("team", "user")
    rows = []
    for _, group in groupby(
        cells.order_by("team__name", "team", "feature", "id"), key=lambda c: (c.team_id, c.feature)
    ):
        found = list(group)
        by_duty = [[cell for cell in found if cell.duty == duty] for duty in Responsibility.Duty.values]
        rows.append((found[0], can(request.user, "incident.work", found[0].team), by_duty))
    return rows


@login_required
@require_POST
def owner_remove(request: HttpRequest, pk: int) -> HttpResponse:
    cell = get_object_or_404(Responsibility.objects.filter(team__in=visible_teams(request.user)), pk=pk)
    require(request.user, "incident.work", cell.team)
    remove_responsibility(author=author_of(request), cell=cell)
    messages.success(request, f"{cell.who} is taken out of the matrix.")
    return redirect("owner-list")
