"""Alerts: what fires now and what fired."""

from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import can, person_of, visible_teams
from accounts.models import User
from incidents.models import Alert

PAGE = 50


def visible_alerts(user: User) -> QuerySet[Alert]:
    """Of the user's teams; those of the organisation for organisation-wide roles."""
    mine = Q(team__in=visible_teams(user)) | (Q(team=None) if can(user, "team.view") else Q())
    return Alert.objects.filter(mine).select_related("team")


@login_required
@require_safe
def alert_list(request: HttpRequest) -> HttpResponse:
    """Firing ones first, then the last resolved, keyset pages by `before=ID`."""
    mine = visible_alerts(person_of(request))
    before = request.GET.get("before", "")
    past = mine.filter(resolved_at__isnull=False).order_by("-id")
    if before.isascii() and before.isdigit() and len(before) < 18:
        past = past.filter(id__lt=int(before))
    shown = list(past[: PAGE + 1])
    return render(
        request,
        "incidents/alerts.html",
        {
            "firing": mine.filter(resolved_at=None),
            "past": shown[:PAGE],
            "older_url": f"?before={shown[PAGE - 1].pk}" if len(shown) > PAGE else "",
            "newer_url": "?" if before else "",
        },
    )
