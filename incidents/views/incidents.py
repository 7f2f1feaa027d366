"""The list of incidents and declaring one."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import can_anywhere, person_of, require, visible_teams
from accounts.models import User
from accounts.posted import author_of, whole_number
from incidents.actions.declaring import declare_for_group
from incidents.actions.incidents import declare_incident
from incidents.forms.incidents import JUDGED, IncidentForm, values_of
from incidents.models import AlertGroup, FailureMode, Incident
from incidents.queries.incidents import OPEN_FIRST, Filter, narrowed, visible_incidents, with_roles
from incidents.queries.severity import readings
from incidents.queries.slices import NARROWED_BY, Slice
from incidents.rules.keyset import mark, place
from incidents.rules.severity import CRITERIA, Suggestion, suggest
from usage.metrics import QueryError
from usage.scope import moment_of, zone_of

PAGE = 50
SEVERITY_OF_ALERT = {"critical": 2, "warning": 3, "info": 4}
LONGEST_JUDGED = timedelta(days=7)


@login_required
@require_safe
def incident_list(request: HttpRequest) -> HttpResponse:
    """Open ones first, the worst on top; then those that are over, the last first."""
    user = person_of(request)
    by = _filter(request)
    found = with_roles(narrowed(visible_incidents(user), by))
    after = place(request.GET.get("before", ""))
    past = list(_older(found.filter(resolved_at__isnull=False), after)[: PAGE + 1])
    query = request.GET.copy()
    if len(past) > PAGE:
        query["before"] = mark(past[PAGE - 1].detected_at, past[PAGE - 1].pk)
    return render(
        request,
        "incidents/incidents/list.html",
        {
            "open": list(found.filter(resolved_at=None).order_by(*OPEN_FIRST)[:PAGE]) if after is None else [],
            "open_count": found.filter(resolved_at=None).count(),
            "past": past[:PAGE],
            "older_url": f"?{query.urlencode()}" if len(past) > PAGE else "",
            "by": by,
            "ever": visible_incidents(user).exists(),
            "may_declare": can_anywhere(user, "incident.work"),
            "severities": [(value, label, value in by.severities) for value, label in Incident.Severity.choices],
            "modes": FailureMode.choices,
            "now": timezone.now(),
        },
    )


def _filter(request: HttpRequest) -> Filter:
    get = request.GET
    severities = [number for text in get.getlist("severity") if (number := whole_number(text)) in (1, 2, 3, 4)]
    mode = get.get("mode", "")
    return Filter(
        text=get.get("q", "").strip()[:200],
        team=get.get("team", ""),
        severities=[number for number in severities if number],
        failure_mode=mode if mode in FailureMode.values else "",
        drills=bool(get.get("drills")),
    )


def _older(incidents: QuerySet[Incident], after: tuple[datetime, int] | None) -> QuerySet[Incident]:
    incidents = incidents.order_by("-detected_at", "-id")
    if after is None:
        return incidents
    at, pk = after
    return incidents.filter(Q(detected_at__lt=at) | Q(detected_at=at, pk__lt=pk))


@login_required
def incident_declare(request: HttpRequest) -> HttpResponse:
    """Declare an incident; `?group=ID` fills it in from an alert group, other parameters from any link."""
    user = person_of(request)
    if not can_anywhere(user, "incident.work"):
        require(user, "incident.work")
    group = _group(request, user)
    form = IncidentForm(request.POST or None, user=user, initial=_prefilled(request, group))
    if request.method == "POST" and form.is_valid():
        require(user, "incident.work", form.cleaned_data["team"])
        incident = _declare(request, form, group)
        messages.success(request, f"{incident.number} is declared. The clock runs; the timeline writes itself.")
        return redirect("incident-detail", incident.pk)
    context = {"form": form, "criteria": CRITERIA, "group": group, "suggestion": None}
    if not form.is_bound:
        context["suggestion"] = _suggestion(user, dict(form.initial))
    return render(request, "incidents/incidents/declare.html", context)


def _declare(request: HttpRequest, form: IncidentForm, group: AlertGroup | None) -> Incident:
    facts = form.facts | {"team": form.cleaned_data["team"], "author": author_of(request), "at": timezone.now()}
    if group is None:
        return declare_incident(**facts)
    visible = set(visible_incidents(person_of(request)).filter(alert_groups=group).values_list("pk", flat=True))
    return declare_for_group(group=group, visible=visible, **facts)


def _group(request: HttpRequest, user: User) -> AlertGroup | None:
    """The alert group named by the address, of a team that the user sees."""
    number = whole_number(request.GET.get("group", ""))
    if number is None:
        return None
    mine = Q(team__in=visible_teams(user)) | (Q(team=None) if None in user.roles_by_team else Q(pk__in=[]))
    return get_object_or_404(AlertGroup.objects.filter(mine).select_related("team"), pk=number)


def _prefilled(request: HttpRequest, group: AlertGroup | None) -> dict[str, Any]:
    get = request.GET
    found: dict[str, Any] = {name: get[name] for name in ("title", "summary", *NARROWED_BY) if name in get}
    if team := visible_teams(request.user).filter(slug=get.get("team", "")).first():
        found["team"] = team
    if (severity := whole_number(get.get("severity", ""))) in (1, 2, 3, 4):
        found["severity"] = severity
    found["impact_started_at"] = _moment(request, get.get("since", "")) or timezone.now()
    return found | (_from_group(group) if group else {})


def _from_group(group: AlertGroup) -> dict[str, Any]:
    """What the alerts of a group have in common."""
    alerts = list(group.alerts.order_by("started_at"))
    common = set.intersection(*(set(alert.labels.items()) for alert in alerts)) if alerts else set()
    named = {name: str(value) for name, value in common if name in NARROWED_BY}
    return named | {
        "title": group.title,
        "team": group.team,
        "severity": SEVERITY_OF_ALERT[group.severity],
        "impact_started_at": alerts[0].started_at if alerts else group.opened_at,
        "summary": "\n".join(alert.title for alert in alerts[:10]),
    }


def _moment(request: HttpRequest, text: str) -> datetime | None:
    try:
        return moment_of(text, zone_of(request.user)) if text else None
    except ValueError:
        return None


@login_required
@require_safe
def incident_suggestion(request: HttpRequest) -> HttpResponse:
    """The severity that the figures of the slice chosen so far suggest: a part of the declare page."""
    user, get = person_of(request), request.GET
    given: dict[str, Any] = {name: get.get(name, "") for name in NARROWED_BY}
    number = whole_number(get.get("team", ""))
    given["team"] = visible_teams(user).filter(pk=number).first() if number is not None else None
    given["impact_started_at"] = _moment(request, get.get("impact_started_at", ""))
    return render(request, "incidents/incidents/suggestion.html", {"suggestion": _suggestion(user, given)})


def _suggestion(user: User, given: dict[str, Any]) -> Suggestion | None:
    """Judged since the impact began, at least the last 15 minutes and at most the last week."""
    now, team = timezone.now(), given.get("team")
    start = given.get("impact_started_at") or now
    teams = (team.pk,) if team else tuple(visible_teams(user).values_list("pk", flat=True))
    filters = {name: tuple(values) for name in NARROWED_BY if (values := values_of(given.get(name) or ""))}
    where = Slice(teams, min(max(start, now - LONGEST_JUDGED), now - JUDGED), now, filters)
    try:
        return suggest(readings(where))
    except QueryError:
        return None
