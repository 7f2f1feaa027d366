"""Silences and maintenance windows: in force, planned, over; making one with a preview of what it mutes."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, person_of, require, visible_teams
from accounts.posted import author_of, report, whole_number
from incidents.actions.silences import add_silence, end_silence
from incidents.forms.silences import SilenceForm
from incidents.models import Silence
from incidents.queries import visible_alerts
from incidents.queries.muting import matching
from incidents.queries.rules import visible_rules, visible_silences
from incidents.views.tabs import alert_tabs

PAST = 50


@login_required
@require_safe
def silence_list(request: HttpRequest) -> HttpResponse:
    """What is muted now, what will be, what was."""
    user, now = person_of(request), timezone.now()
    mine = visible_silences(user)
    firing = list(visible_alerts(user).filter(resolved_at=None).select_related("rule"))
    current = [
        (one, len(matching(one, firing)), can(user, "alert.acknowledge", one.team))
        for one in mine.filter(ends_at__gt=now).order_by("starts_at", "id")
    ]
    return render(
        request,
        "incidents/silences/list.html",
        {
            "current": current,
            "past": mine.filter(ends_at__lte=now).order_by("-ends_at")[:PAST],
            "now": now,
            "may_add": can_anywhere(user, "alert.acknowledge"),
            "tabs": alert_tabs("silence-list"),
        },
    )


@login_required
def silence_add(request: HttpRequest) -> HttpResponse:
    """Make one; `?alert=ID` or `?rule=ID` fills it in."""
    user = person_of(request)
    if not can_anywhere(user, "alert.acknowledge"):
        require(user, "alert.acknowledge")
    form = SilenceForm(request.POST or None, user=user, initial=_prefilled(request))
    if request.method == "POST" and form.is_valid():
        require(user, "alert.acknowledge", form.cleaned_data["team"])
        try:
            add_silence(author=author_of(request), now=timezone.now(), **form.values)
        except ValidationError as error:
            report(form, error, {"ends_at": "lasts"})
        else:
            messages.success(request, "It is muted. Alerts are kept and shown; nobody is told of them.")
            return redirect("silence-list")
    context = {"form": form, "tabs": alert_tabs("silence-list")}
    return render(request, "incidents/silences/form.html", context)


def _prefilled(request: HttpRequest) -> dict[str, Any]:
    user = person_of(request)
    if pk := whole_number(request.GET.get("alert", "")):
        alert = get_object_or_404(visible_alerts(user), pk=pk)
        lines = "\n".join(f"{name} = {value}" for name, value in alert.labels.items() if value)
        return {"team": alert.team, "rule": alert.rule, "labels": lines}
    if pk := whole_number(request.GET.get("rule", "")):
        return {"rule": get_object_or_404(visible_rules(user), pk=pk)}
    return {"team": visible_teams(user).filter(slug=request.GET.get("team", "")).first()}


@login_required
@require_POST
def silence_preview(request: HttpRequest) -> HttpResponse:
    """What fires now and would be muted by the form's silence; a part of its page."""
    user = person_of(request)
    form = SilenceForm(request.POST, user=user)
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        firing = list(visible_alerts(user).filter(resolved_at=None).select_related("rule", "team"))
        context |= {"muted": matching(Silence(**form.values), firing), "of": len(firing), "tried": True}
    return render(request, "incidents/silences/preview.html", context)


@login_required
@require_POST
def silence_end(request: HttpRequest, pk: int) -> HttpResponse:
    silence = get_object_or_404(visible_silences(person_of(request)), pk=pk)
    require(request.user, "alert.acknowledge", silence.team)
    end_silence(author=author_of(request), silence=silence, now=timezone.now())
    messages.success(request, "It has ended; what still fires is heard within 30 seconds.")
    return redirect("silence-list")
