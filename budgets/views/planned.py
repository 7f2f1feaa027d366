"""Pages of planned events: the list, adding, editing, removing."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, person_of, require
from accounts.posted import author_of
from budgets.forms.events import PlannedEventForm
from budgets.models import PlannedEvent
from budgets.planned import change_event, plan_event, remove_event
from budgets.queries.forecasts import visible_events
from budgets.queries.visible import waiting_changes
from budgets.views.shown import tabs

SOON = "Forecasts follow in a few minutes."


@login_required
@require_safe
def event_list(request: HttpRequest) -> HttpResponse:
    """Planned events, those to come and under way first."""
    today = timezone.now().date()
    found = [(one, can(request.user, "budget.edit", one.team)) for one in visible_events(request.user)]
    context = {
        "ahead": sorted((row for row in found if row[0].ends_on >= today), key=lambda row: row[0].starts_on),
        "over": [row for row in found if row[0].ends_on < today],
        "today": today,
        "may_add": can_anywhere(request.user, "budget.edit"),
        "tabs": tabs("planned-event-list", len(waiting_changes(request.user))),
    }
    return render(request, "budgets/forecast/events.html", context)


@login_required
def event_add(request: HttpRequest) -> HttpResponse:
    if not can_anywhere(request.user, "budget.edit"):
        require(request.user, "budget.edit")
    given = {name: value for name, value in request.GET.items() if name in PlannedEventForm.base_fields}
    form = PlannedEventForm(request.POST or None, user=person_of(request), initial=given)
    if request.method == "POST" and form.is_valid():
        event = plan_event(author=author_of(request), **form.facts)
        messages.success(request, f"“{event.name}” is planned. {SOON}")
        return redirect("planned-event-list")
    return render(request, "budgets/forecast/event_form.html", {"form": form}, status=422 if form.errors else 200)


@login_required
def event_edit(request: HttpRequest, pk: int) -> HttpResponse:
    event = _editable(request, pk)
    form = PlannedEventForm(request.POST or None, user=person_of(request), event=event)
    if request.method == "POST" and form.is_valid():
        change_event(author=author_of(request), event=event, **form.facts)
        messages.success(request, f"“{event.name}” is changed. {SOON}")
        return redirect("planned-event-list")
    context = {"form": form, "event": event}
    return render(request, "budgets/forecast/event_form.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def event_remove(request: HttpRequest, pk: int) -> HttpResponse:
    event = _editable(request, pk)
    remove_event(author=author_of(request), event=event)
    messages.success(request, f"“{event.name}” is removed. {SOON}")
    return redirect("planned-event-list")


def _editable(request: HttpRequest, pk: int) -> PlannedEvent:
    """404 for a team's event the viewer may not see, 403 without the right to edit it."""
    event = get_object_or_404(visible_events(request.user), pk=pk)
    require(request.user, "budget.edit", event.team)
    return event
