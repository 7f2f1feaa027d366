"""Providers' limits: what is recorded, and how much of it is used."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import can, can_anywhere, person_of, require, visible_teams
from usage.forms.limits import LimitForm
from usage.limits import remove_limit, save_limit, visible_limits
from usage.models import ProviderLimit
from usage.queries.quota import quota_use
from usage.scope import Scope
from usage.views.prices import tabs

PREFILLED = ("provider", "model", "region", "environment")


@login_required
@require_safe
def limit_list(request: HttpRequest) -> HttpResponse:
    """The limits of the viewer's teams, and what was called in the last 24 hours against them."""
    scope = Scope.from_request(request)
    context = {
        "scope": scope,
        "limits": [
            (limit, can(request.user, "limit.edit", limit.team)) for limit in visible_limits(person_of(request))
        ],
        "quota": quota_use(scope),
        "may_add": can_anywhere(request.user, "limit.edit"),
        "tabs": tabs("limit-list"),
    }
    return render(request, "usage/limits/list.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def limit_add(request: HttpRequest) -> HttpResponse:
    """Add a limit; provider, model, region, environment and team of the query string are filled in."""
    if not can_anywhere(request.user, "limit.edit"):
        require(request.user, "limit.edit")
    initial: dict[str, object] = {name: request.GET.get(name, "") for name in PREFILLED}
    initial["team"] = visible_teams(request.user).filter(slug=request.GET.get("team", "")).first()
    form = LimitForm(request.POST or None, user=request.user, initial=initial)
    return _saved(request, form) or _form_page(request, form)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def limit_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a limit; 404 for a stranger to its team, 403 for whoever may not."""
    form = LimitForm(request.POST or None, user=request.user, instance=_own(request, pk))
    return _saved(request, form) or _form_page(request, form)


@login_required
@require_POST
def limit_remove(request: HttpRequest, pk: int) -> HttpResponse:
    limit = _own(request, pk)
    remove_limit(actor=person_of(request), limit=limit, request=request)
    messages.success(request, f"The limit of {limit} is removed. Its use is unknown from now on.")
    return redirect("limit-list")


def _own(request: HttpRequest, pk: int) -> ProviderLimit:
    limit = get_object_or_404(visible_limits(person_of(request)), pk=pk)
    require(request.user, "limit.edit", limit.team)
    return limit


def _saved(request: HttpRequest, form: LimitForm) -> HttpResponse | None:
    """The way back once the form's limit is saved; None where it is not."""
    if request.method != "POST" or not form.is_valid():
        return None
    require(request.user, "limit.edit", form.cleaned_data["team"])
    try:
        limit = save_limit(actor=person_of(request), limit=form.save(commit=False), request=request)
    except IntegrityError:
        form.add_error(None, "Somebody has just recorded a limit for this. Edit that one.")
        return None
    messages.success(request, f"The limit of {limit} is saved. Its use is shown from now on, for earlier minutes too.")
    return redirect("limit-list")


def _form_page(request: HttpRequest, form: LimitForm) -> HttpResponse:
    context = {"form": form, "limit": form.instance if form.instance.pk else None, "tabs": tabs("limit-list")}
    return render(request, "usage/limits/form.html", context, status=422 if form.errors else 200)
