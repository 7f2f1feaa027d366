"""Weekly cost reports: the archive, one report as page and CSV, making one now."""

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can_anywhere, person_of, require, teams_where, visible_teams
from accounts.posted import author_of
from aiops_site.formats import money
from budgets.forms.reports import CommitmentForm, RecipientForm, TeamForm
from budgets.models import Commitment, Report, ReportRecipient
from budgets.queries.visible import sees_organisation
from budgets.reports import make_now
from budgets.rules.focus import safe
from budgets.views.shown import report_tabs

SHOWN = 60
SECTIONS = (
    "spend",
    "changes",
    "driver",
    "guardrails",
    "forecast",
    "over",
    "unpriced",
    "untagged",
    "backlog",
    "commitments",
)
# What names an entry of a list of facts: the first of these that it has.
NAMING = ("dimension", "name", "model", "title", "text", "what", "state", "code")


def of_visible(found: QuerySet, user) -> QuerySet:
    """Those of the teams the user sees; those of the organisation where they see all of it."""
    seen = Q(team__in=visible_teams(user))
    return found.filter(seen | Q(team=None) if sees_organisation(user) else seen).select_related("team")


@login_required
@require_safe
def report_list(request: HttpRequest) -> HttpResponse:
    user = person_of(request)
    may_edit = can_anywhere(user, "budget.edit")
    recipients = ReportRecipient.objects.filter(Q(team=None) | Q(team__in=teams_where(user, "budget.edit")))
    return render(
        request,
        "budgets/reports/list.html",
        {
            "reports": of_visible(Report.objects.defer("facts"), user).prefetch_related("deliveries")[:SHOWN],
            "recipients": of_visible(recipients, user) if may_edit else [],
            "commitments": of_visible(Commitment.objects.filter(done_at=None), user),
            "today": timezone.now().date(),
            "tabs": report_tabs("report-list"),
            "may_edit": may_edit,
            "make_form": TeamForm(user=user, prefix="make"),
            "recipient_form": RecipientForm(user=user, prefix="recipient"),
            "commitment_form": CommitmentForm(user=user, prefix="commitment"),
        },
    )


@login_required
@require_POST
def report_make(request: HttpRequest) -> HttpResponse:
    """A report of the running week so far."""
    user = person_of(request)
    form = TeamForm(request.POST, user=user, prefix="make")
    if not form.is_valid():
        require(user, "budget.edit")
        messages.error(request, "Choose a team of the list.")
        return redirect("report-list")
    require(user, "budget.edit", form.team_chosen)
    report = make_now(author=author_of(request), team=form.team_chosen, now=timezone.now())
    return redirect("report-detail", report.pk)


@login_required
@require_safe
def report_detail(request: HttpRequest, pk: int) -> HttpResponse:
    report = get_object_or_404(of_visible(Report.objects.all(), request.user), pk=pk)
    forecast = report.facts["forecast"]
    context = {
        "report": report,
        "facts": report.facts,
        "deliveries": report.deliveries.all(),
        "likely": f"{money(forecast['low80'])} to {money(forecast['high80'])}" if forecast else "",
    }
    return render(request, "budgets/reports/detail.html", context)


@login_required
@require_safe
def report_csv(request: HttpRequest, pk: int) -> HttpResponse:
    """The facts, one a line: section, name, figure, value."""
    report = get_object_or_404(of_visible(Report.objects.all(), request.user), pk=pk)
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(["section", "name", "figure", "value"])
    for section in sorted(report.facts, key=_place_of):
        writer.writerows([safe(text) for text in row] for row in _rows(section, report.facts[section]))
    response = HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="report_{report.week}_{report.pk}.csv"'
    return response


def _place_of(section: str) -> int:
    """Sections in the order of the page: the database keeps the keys of JSON by their length."""
    return SECTIONS.index(section) if section in SECTIONS else len(SECTIONS)


def _rows(section: str, facts: Any, name: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Nested facts as lines; a list's entries are named by what they are about."""
    if isinstance(facts, list):
        for place, entry in enumerate(facts, 1):
            yield from _rows(section, entry, f"{name}{'/' if name else ''}{_name_of(entry, place)}")
    elif isinstance(facts, dict):
        for figure, value in facts.items():
            if isinstance(value, dict | list):
                yield from _rows(section, value, f"{name}/{figure}".lstrip("/") if figure != "rows" else name)
            else:
                yield section, name, figure, "" if value is None else str(value)
    else:
        yield section, name, "", "" if facts is None else str(facts)


def _name_of(entry: Any, place: int) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    return next((str(entry[key]) for key in NAMING if entry.get(key)), f"#{place}")
