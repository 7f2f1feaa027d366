"""Change markers: the list, a form, removal."""

from datetime import datetime
from typing import NamedTuple

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, person_of, require, visible_teams
from usage.changes import changes_between, record_change, remove_change
from usage.forms.changes import ChangeForm
from usage.models import ChangeMarker
from usage.scope import Scope

PAGE = 50


class After(NamedTuple):
    """Where a page of the list begins: just below this marker."""

    at: datetime
    id: int


@login_required
@require_safe
def change_list(request: HttpRequest) -> HttpResponse:
    """Markers of the window, newest first, keyset pages by `?after=time,id`."""
    scope = Scope.from_request(request, default_range="30d")
    found = changes_between(scope.team_ids, scope.start, scope.end, scope.filters)
    kind = request.GET.get("kind", "")
    if kind in ChangeMarker.Kind.values:
        found = found.filter(kind=kind)
    after = _after(request.GET.get("after", ""))
    if after:
        found = found.filter(Q(at__lt=after.at) | Q(at=after.at, id__lt=after.id))
    shown = list(found[: PAGE + 1])
    older = shown[PAGE - 1] if len(shown) > PAGE else None
    context = {
        "scope": scope,
        "changes": [(change, can(request.user, "change.add", change.team)) for change in shown[:PAGE]],
        "kinds": [("All", scope.url(kind=None, after=None), not kind)]
        + [(label, scope.url(kind=value, after=None), value == kind) for value, label in ChangeMarker.Kind.choices],
        "older_url": scope.url(after=f"{older.at.isoformat()},{older.id}") if older else "",
        "newer_url": scope.url(after=None) if after else "",
        "may_add": can_anywhere(request.user, "change.add"),
        "curl": _curl(request),
    }
    return render(request, "usage/changes/list.html", context)


def _after(text: str) -> After | None:
    at, _, identity = text.rpartition(",")
    try:
        return After(datetime.fromisoformat(at), int(identity))
    except ValueError:
        return None


def _curl(request: HttpRequest) -> str:
    return (
        f"curl {request.build_absolute_uri(reverse('api-changes'))} -H 'Authorization: Bearer YOUR_KEY' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        '  -d \'{"kind": "deploy", "title": "answer-service 2.4.1", "ref": "2.4.1", "environment": "prod"}\''
    )


@login_required
def change_add(request: HttpRequest) -> HttpResponse:
    if not can_anywhere(request.user, "change.add"):
        require(request.user, "change.add")
    form = ChangeForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        require(request.user, "change.add", values["team"])
        change, _ = record_change(actor=person_of(request), request=request, **values)
        messages.success(request, f"Added “{change.title}”. It is drawn on every chart of its time.")
        return redirect("change-list")
    return render(request, "usage/changes/form.html", {"form": form}, status=422 if form.errors else 200)


@login_required
@require_POST
def change_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a marker; the message says what it was, the audit log keeps it."""
    seen = ChangeMarker.objects.filter(Q(team__in=visible_teams(request.user)) | Q(team=None))
    change = get_object_or_404(seen, pk=pk)
    require(request.user, "change.add", change.team)
    remove_change(change, actor=person_of(request), request=request)
    messages.success(request, f"Removed “{change.title}”.")
    return redirect("change-list")
