"""The executive view: one page, one request, one sheet of paper."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from aiops_site.executive import page
from aiops_site.product.window import scope_of
from usage.models import Series
from usage.views.events import first_event

DEFAULT_RANGE = "30d"


@login_required
@require_safe
def executive(request: HttpRequest) -> HttpResponse:
    """The page; without any event yet, the way to a first one."""
    scope = scope_of(request, DEFAULT_RANGE)
    context = {"scope": scope, "default_compare": "previous"}
    if not Series.objects.filter(team_id__in=scope.team_ids).exists():
        return render(request, "aiops_site/executive/first_run.html", context | {"curl": first_event(request)})
    return render(request, "aiops_site/executive/page.html", context | {"page": page.read(scope, request.user)})
