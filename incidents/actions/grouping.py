"""Groups of alerts: one cause, one notification, at most one incident. Called by whoever holds the turn of alerts."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.urls import reverse

from accounts.actions import Author, audit
from incidents.actions.incidents import declare_incident
from incidents.actions.notifying import notify
from incidents.actions.sharing import join_shared, was_paged_for
from incidents.actions.timeline import record
from incidents.models import Alert, AlertGroup, Incident, SectionKind, TimelineEntry
from incidents.queries.muting import in_force, told
from incidents.rules.alertmanager import GROUP_LABEL
from incidents.rules.grouping import group_key, is_louder, rank
from usage.measures import DRILL_ENVIRONMENT
from usage.models import ChangeMarker

CHANGED = timedelta(days=1)
DESK = Author(label="alert rules")
_OPEN = """
INSERT INTO incidents_alertgroup (team_id, key, title, severity, route, opened_at, notified_severity, notified_route)
SELECT team_id, key, title, severity, route, %(at)s, '', ''
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(team_id bigint, key text, title text, severity text, route text)
ON CONFLICT (team_id, key) WHERE closed_at IS NULL DO UPDATE SET key = excluded.key
RETURNING id, team_id, key
"""


def join(alert_ids: Collection[int], at: datetime) -> set[int]:
    """Put open alerts into the open group of their cause, which is made where there is none, and mute what is muted.

    Returns the groups they are in.
    """
    alerts = list(Alert.objects.filter(pk__in=alert_ids).select_related("rule__parent").order_by("pk"))
    muting = in_force(at)
    for one in alerts:
        one.muted_by = muting.why(told(one))
    strangers = [one for one in alerts if one.group_id is None]
    if strangers:
        groups = _open_groups(strangers, at)
        for one in strangers:
            one.group_id = groups[one.team_id, _cause(one)]
    Alert.objects.bulk_update(alerts, ["muted_by", "group"], batch_size=500)
    return {one.group_id for one in alerts if one.group_id}


def _open_groups(alerts: Iterable[Alert], at: datetime) -> dict[tuple[int | None, str], int]:
    wanted = {(one.team_id, _cause(one)): one for one in alerts}
    rows = [
        {"team_id": team, "key": key, "title": one.title, "severity": one.severity, "route": one.route}
        for (team, key), one in wanted.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, {"rows": json.dumps(rows), "at": at})
        return {(team, key): pk for pk, team, key in cursor.fetchall()}


def _cause(alert: Alert) -> str:
    if group := alert.labels.get(GROUP_LABEL):
        return f"{alert.source_kind}:{group}"[:300]
    root = alert.rule.parent if alert.rule else None
    cause = group_key(alert.runbook, root.runbook_section.key if root else "")
    return f"{DRILL_ENVIRONMENT}:{cause}" if alert.is_drill else cause


def settle(group_ids: Collection[int], at: datetime) -> None:
    """Bring groups in line with their alerts: closed, made louder, told of, with an incident. Safe to repeat."""
    firing: dict[int, list[Alert]] = defaultdict(list)
    for alert in Alert.objects.filter(group_id__in=group_ids, resolved_at=None).select_related("rule"):
        if alert.group_id:
            firing[alert.group_id].append(alert)
    groups = AlertGroup.objects.filter(pk__in=group_ids, closed_at=None).select_related("team", "incident")
    for group in groups.order_by("pk"):
        if alerts := firing[group.pk]:
            _keep(group, alerts, at)
        else:
            _close(group, at)


def _keep(group: AlertGroup, alerts: Sequence[Alert], at: datetime) -> None:
    worst = max(alerts, key=lambda one: (rank(one.severity, one.route), -one.pk))
    now_is = (worst.title, worst.severity, worst.route)
    if now_is != (group.title, group.severity, group.route):
        group.title, group.severity, group.route = now_is
        group.save(update_fields=["title", "severity", "route"])
    loud = [one for one in alerts if not one.muted_by]
    if loud:
        _declare(group, loud, at)
        _share(group, loud, at)
        _tell(group, loud, at)
    _write_down(group, alerts)


def _tell(group: AlertGroup, loud: Sequence[Alert], at: datetime) -> None:
    """One notification for all of them; again only where it became worse or goes further than before."""
    worst = max(loud, key=lambda one: (rank(one.severity, one.route), -one.pk))
    if not is_louder(worst.severity, worst.route, group.notified_severity, group.notified_route):
        return
    others = len(loud) - 1
    title = worst.title + (f" (and {others} more)" if others else "")
    route = worst.route
    if route == "page" and was_paged_for(group, worst.severity, at):
        route = "ticket"
        _say_it_joins(group, worst, at)
    else:
        _send(group, "alert", worst.severity, route, title, at)
    group.notified_severity, group.notified_route, group.notified_at = worst.severity, route, at
    group.save(update_fields=["notified_severity", "notified_route", "notified_at"])


def _say_it_joins(group: AlertGroup, worst: Alert, at: datetime) -> None:
    """In a line, where everybody was paged for another part of the same incident."""
    incident = group.incident
    lead = incident.part_of if incident else None
    if incident is None or lead is None:
        return
    notify(
        kind="alert",
        team=group.team,
        severity=worst.severity,
        route="ticket",
        title=f"{incident.number} is a part of {lead.number}: {worst.title}",
        body="On call was paged for the same cause already.",
        url=reverse("incident-detail", args=[incident.pk]),
        key=f"group:{group.pk}:joins",
        at=at,
        incident=incident,
        alert_group=group,
    )


def _send(group: AlertGroup, kind: str, severity: str, route: str, title: str, at: datetime) -> None:
    alerts = list(group.alerts.filter(muted_by="").select_related("rule").order_by("pk")[:20])
    notify(
        kind=kind,
        team=group.team,
        severity=severity,
        route=route,
        title=title,
        body="\n".join(_line(one) for one in alerts),
        url=reverse("alert-detail", args=[alerts[0].pk]) if alerts else reverse("alert-list"),
        key=f"group:{group.pk}:{kind}:{route}:{severity}",
        at=at,
        incident=group.incident,
        alert_group=group,
    )


def _line(alert: Alert) -> str:
    first = f" First: {alert.rule.first_mitigation}" if alert.rule else ""
    return f"{alert.title}. {alert.detail} Runbook: {alert.runbook}.{first}"


def _close(group: AlertGroup, at: datetime) -> None:
    group.closed_at = max(at, group.opened_at)
    group.save(update_fields=["closed_at"])
    if group.notified_at:
        _send(group, "resolved", group.notified_severity, group.notified_route, f"Resolved: {group.title}", at)
    _write_down(group, list(group.alerts.all()))


# --- Incidents --------------------------------------------------------------------------------------------------
def _declare(group: AlertGroup, loud: Sequence[Alert], at: datetime) -> None:
    """The incident that a rule of the group asks for, the most severe of them; one for the group."""
    asking = [one for one in loud if _asks_for_an_incident(one)]
    if group.incident_id or not asking:
        return
    first = min(asking, key=lambda one: (int(one.rule.options["declare"]) if one.rule else 9, one.pk))
    group.incident = declare_incident(
        author=DESK,
        team=group.team,
        title=first.title,
        severity=int(first.rule.options["declare"]) if first.rule else 3,
        at=at,
        impact_started_at=min(one.started_at for one in loud),
        summary=first.detail,
        failure_mode="" if first.is_drill else _failure_mode(first),  # of a drill, people are to find it
        scope=_scope(first),
        is_drill=first.is_drill,
        source_kind="alert_group",
        source_key=str(group.pk),
    )
    group.save(update_fields=["incident"])


def _share(group: AlertGroup, loud: Sequence[Alert], at: datetime) -> None:
    """Where the same provider's alerts declared an incident for another team too, both are parts of one."""
    providers = [one.labels["provider"] for one in loud if one.labels.get("provider") and not one.is_drill]
    alone = group.incident if group.incident and group.incident.part_of_id is None else None
    if alone and providers and join_shared(alone, group.key, providers[0], at):
        alone.refresh_from_db()


def _asks_for_an_incident(alert: Alert) -> bool:
    """Whether its rule declares one; some do only where something was changed within a day before."""
    rule = alert.rule
    if rule is None or not rule.options.get("declare"):
        return False
    if not rule.options.get("declare_after_change"):
        return True
    since = alert.started_at - timedelta(seconds=rule.window_seconds) - CHANGED
    mine = Q(team=alert.team_id) | Q(team=None)
    return ChangeMarker.objects.filter(mine, at__gt=since, at__lte=alert.last_raised_at).exists()


def _failure_mode(alert: Alert) -> str:
    """That of its runbook, where the rule knows the cause; one that points to the detection section does not."""
    section = alert.rule.runbook_section if alert.rule else None
    return "" if section is None or section.kind == SectionKind.DETECTION else section.runbook.failure_mode


def _scope(alert: Alert) -> dict[str, list[str]]:
    """The slice of the alert: the filters of its rule and its own labels."""
    rule = alert.rule
    filters = {name: list(values) for name, values in rule.filters.items()} if rule else {}
    scope = filters | {name: [alert.labels[name]] for name in (rule.breakdown if rule else []) if name in alert.labels}
    return scope | ({"environment": [DRILL_ENVIRONMENT]} if alert.is_drill else {})


def attach(*, author: Author, group: AlertGroup, incident: Incident) -> None:
    """Make `incident` the one of the group: its alerts, those still to come too, stand in the timeline."""
    with transaction.atomic():
        AlertGroup.objects.filter(pk=group.pk).update(incident=incident)
        group.incident = incident
        audit(
            **author.signature, action="alert_group.attach", target=group, team=group.team, after={"to": str(incident)}
        )
        _write_down(group, list(group.alerts.all()))


def _write_down(group: AlertGroup, alerts: Iterable[Alert]) -> None:
    """Beginning and end of every alert in the timeline of the group's incident, each once."""
    incident = group.incident
    if incident is None:
        return
    incident = incident.merged_into or incident
    known = set(
        TimelineEntry.objects.filter(incident=incident, source_key__startswith="alert:").values_list(
            "source_key", flat=True
        )
    )
    for one in alerts:
        url = reverse("alert-detail", args=[one.pk])
        moments = [
            ("began", f"Alert: {one.title}", one.started_at),
            ("ended", f"Resolved: {one.title}", one.resolved_at),
        ]
        for what, text, moment in moments:
            key = f"alert:{one.pk}:{what}"
            if moment and key not in known:
                record(incident, TimelineEntry.Kind.ALERT, text, at=moment, url=url, source_key=key)


# --- Muting -----------------------------------------------------------------------------------------------------
def refresh_muting(at: datetime) -> int:
    """Mute and unmute what fires as silences, windows and parents come and go; returns how many alerts changed.

    It also takes up alerts that are in no group. The caller holds the turn of alerts.
    """
    muting = in_force(at)
    changed = []
    for one in Alert.objects.filter(resolved_at=None).select_related("rule"):
        if (why := muting.why(told(one))) != one.muted_by:
            one.muted_by = why
            changed.append(one)
    Alert.objects.bulk_update(changed, ["muted_by"], batch_size=500)
    settle({one.group_id for one in changed if one.group_id}, at)
    lonely = Alert.objects.filter(resolved_at=None, group=None).values_list("pk", flat=True)
    settle(join(list(lonely), at), at)
    return len(changed)
