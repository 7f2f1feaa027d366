"""Alerts: what fires now by group, what fired, one alert, acknowledging."""

from itertools import groupby
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Case, QuerySet, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, person_of, require
from accounts.posted import author_of, whole_number
from incidents.actions.alerts import acknowledge
from incidents.models import Alert
from incidents.queries import visible_alerts
from incidents.queries.incidents import visible_incidents
from incidents.queries.rules import visible_rules
from incidents.views import rule_shown
from incidents.views.tabs import alert_tabs
from usage.scope import zone_of

PAGE = 50
MOST_FIRING = 200
BY_SEVERITY = Case(When(severity="critical", then=0), When(severity="warning", then=1), default=2)
SHOWN = [("", "Firing and muted"), ("unacknowledged", "Not acknowledged"), ("muted", "Muted only")]


@login_required
@require_safe
def alert_list(request: HttpRequest) -> HttpResponse:
    """Firing groups first, the worst on top, then the last resolved, keyset pages by `before=ID`."""
    user, get = person_of(request), request.GET
    mine = _chosen(visible_alerts(user).select_related("team", "group", "rule", "acknowledged_by"), get)
    firing = mine.filter(resolved_at=None)
    groups = _grouped(firing.order_by(BY_SEVERITY, "-started_at")[:MOST_FIRING])
    before = whole_number(get.get("before", ""))
    past = mine.filter(resolved_at__isnull=False).order_by("-id")
    if before is not None:
        past = past.filter(id__lt=before)
    shown = list(past[: PAGE + 1])
    kept = get.copy()
    kept.pop("before", None)
    first = f"?{kept.urlencode()}"
    return render(
        request,
        "incidents/alerts/list.html",
        {
            "groups": groups,
            "count": firing.count(),
            "muted": firing.exclude(muted_by="").count(),
            "most": MOST_FIRING,
            "past": shown[:PAGE],
            "older_url": f"{first}&before={shown[PAGE - 1].pk}" if len(shown) > PAGE else "",
            "newer_url": first if before is not None else "",
            "any": visible_alerts(user).exists(),
            "shown": SHOWN,
            "get": get,
            "rule": visible_rules(user).filter(pk=whole_number(get.get("rule", "")) or 0).first(),
            "severities": Alert.Severity.choices,
            "seen": set(visible_incidents(user).filter(pk__in=_incidents(groups)).values_list("pk", flat=True)),
            "may": can_anywhere(user, "alert.acknowledge"),
            "tabs": alert_tabs("alert-list"),
        },
    )


def _chosen(alerts: QuerySet[Alert], get: Any) -> QuerySet[Alert]:
    if team := get.get("team"):
        alerts = alerts.filter(team__slug=team)
    if (rule := whole_number(get.get("rule", ""))) is not None:
        alerts = alerts.filter(rule_id=rule)
    if get.get("severity") in Alert.Severity.values:
        alerts = alerts.filter(severity=get["severity"])
    if get.get("show") == "unacknowledged":
        return alerts.filter(acknowledged_at=None, muted_by="")
    return alerts.exclude(muted_by="") if get.get("show") == "muted" else alerts


def _grouped(alerts: QuerySet[Alert]) -> list[tuple[Any, list[Alert]]]:
    """(group, its alerts), in the order of the worst of each; alerts without a group by themselves."""
    place: dict[Any, int] = {}
    found = list(alerts)
    for one in found:
        place.setdefault(one.group_id or -one.pk, len(place))
    ordered = sorted(found, key=lambda one: place[one.group_id or -one.pk])
    return [
        (part[0].group, part)
        for part in (list(rows) for _, rows in groupby(ordered, key=lambda one: one.group_id or -one.pk))
    ]


def _incidents(groups: list[tuple[Any, list[Alert]]]) -> list[int]:
    return [group.incident_id for group, _ in groups if group and group.incident_id]


@login_required
@require_safe
def alert_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """What, since when, the figure against its threshold, what to do, what else fires with it."""
    user, now = person_of(request), timezone.now()
    related = ("team", "rule__team", "rule__owner", "group", "acknowledged_by")
    alert = get_object_or_404(visible_alerts(user).select_related(*related), pk=pk)
    rule, group = alert.rule, alert.group
    earlier = visible_alerts(user).filter(source_kind=alert.source_kind, source_key=alert.source_key)
    together = visible_alerts(user).filter(group=group).exclude(pk=pk) if group else Alert.objects.none()
    incident = visible_incidents(user).filter(pk=group.incident_id).first() if group and group.incident_id else None
    slug, _, section = alert.runbook.partition("#")
    return render(
        request,
        "incidents/alerts/detail.html",
        {
            "alert": alert,
            "rule": rule,
            "sentence": rule_shown.sentence(rule) if rule else "",
            "chart": rule_shown.alert_chart(alert, now, zone_of(request)),
            "state": rule.states.filter(team=alert.team, labels=alert.labels).first() if rule else None,
            "together": together.order_by("-started_at")[:PAGE],
            "earlier": earlier.exclude(pk=pk).order_by("-started_at")[:10],
            "incident": incident,
            "runbook_slug": slug,
            "section": section,
            "may_acknowledge": can(user, "alert.acknowledge", alert.team),
            "may_declare": can(user, "incident.work", alert.team),
            "tabs": alert_tabs("alert-list"),
        },
    )


@login_required
@require_POST
def alert_acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Say that one looks after it; with `group`, after everything of its cause that fires."""
    alert = get_object_or_404(visible_alerts(person_of(request)), pk=pk)
    require(request.user, "alert.acknowledge", alert.team)
    alerts = [alert]
    if "group" in request.POST and alert.group_id:
        alerts = list(visible_alerts(person_of(request)).filter(group=alert.group_id, resolved_at=None))
    done = acknowledge(author=author_of(request), alerts=alerts, at=timezone.now())
    if done:
        messages.success(request, f"{alert.title} is yours." if done == 1 else f"{done} alerts are yours.")
    else:
        messages.info(request, "It was acknowledged or over already.")
    return redirect("alert-list") if "group" in request.POST else redirect("alert-detail", pk)
