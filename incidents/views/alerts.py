"""Alerts: what fires now and what fired."""

from django.contrib.auth.decorators import login_required
from django.db.models import Case, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import person_of
from accounts.posted import whole_number
from incidents.queries import visible_alerts

PAGE = 50
BY_SEVERITY = Case(When(severity="critical", then=0), When(severity="warning", then=1), default=2)


@login_required
@require_safe
def alert_list(request: HttpRequest) -> HttpResponse:
    """Firing ones first, the worst on top, then the last resolved, keyset pages by `before=ID`."""
    mine = visible_alerts(person_of(request))
    firing = mine.filter(resolved_at=None).order_by(BY_SEVERITY, "-started_at")
    before = whole_number(request.GET.get("before", ""))
    past = mine.filter(resolved_at__isnull=False).order_by("-id")
    if before is not None:
        past = past.filter(id__lt=before)
    shown = list(past[: PAGE + 1])
    return render(
        request,
        "incidents/alerts.html",
        {
            "firing": firing[:PAGE],
            "count": firing.count(),
            "past": shown[:PAGE],
            "older_url": f"?before={shown[PAGE - 1].pk}" if len(shown) > PAGE else "",
            "newer_url": "?" if before is not None else "",
        },
    )
