"""Editing what the public status page lists."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, person_of, require, visible_teams
from accounts.models import User
from accounts.posted import author_of
from incidents.actions.status_page import remove_component, save_component
from incidents.forms.status_page import ComponentForm
from incidents.models import StatusComponent


def _visible(user: User) -> QuerySet[StatusComponent]:
    mine = Q(team__in=visible_teams(user)) | Q(team=None)
    return StatusComponent.objects.filter(mine).select_related("team")


@login_required
@require_safe
def component_list(request: HttpRequest) -> HttpResponse:
    user = person_of(request)
    rows = [(one, can(user, "status.edit", one.team)) for one in _visible(user)]
    context = {"rows": rows, "may_edit": can_anywhere(user, "status.edit")}
    return render(request, "incidents/status/components.html", context)


@login_required
def component_edit(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """Add a component, or change one."""
    user = person_of(request)
    component = get_object_or_404(_visible(user), pk=pk) if pk else None
    if component:
        require(user, "status.edit", component.team)
    elif not can_anywhere(user, "status.edit"):
        require(user, "status.edit")
    form = ComponentForm(request.POST or None, user=user, instance=component)
    if request.method == "POST" and form.is_valid():
        saved = form.save(commit=False)
        require(user, "status.edit", saved.team)
        saved.filters = form.slice
        save_component(author=author_of(request), component=saved)
        messages.success(request, f"{saved} is on the status page.")
        return redirect("component-list")
    return render(request, "incidents/status/component.html", {"form": form, "component": component})


@login_required
@require_POST
def component_remove(request: HttpRequest, pk: int) -> HttpResponse:
    component = get_object_or_404(_visible(person_of(request)), pk=pk)
    require(request.user, "status.edit", component.team)
    remove_component(author=author_of(request), component=component)
    messages.success(request, f"{component} is no longer on the status page.")
    return redirect("component-list")
