"""Raising and resolving alerts. Nothing is sent from here."""

import json
from datetime import datetime
from typing import Any

from django.db import connection

from accounts.models import Team
from incidents.models import Alert

_RAISE = """
INSERT INTO incidents_alert (team_id, source_kind, source_key, severity, route, title, detail, url, runbook, labels,
    muted_by, started_at, last_raised_at, raised_count)
VALUES (%(team)s, %(kind)s, %(key)s, %(severity)s, %(route)s, %(title)s, %(detail)s, %(url)s, %(runbook)s,
    %(labels)s::jsonb, '', %(at)s, %(at)s, 1)
ON CONFLICT (source_kind, source_key) WHERE resolved_at IS NULL DO UPDATE
SET severity = excluded.severity, route = excluded.route, title = excluded.title, detail = excluded.detail,
    url = excluded.url, runbook = excluded.runbook, labels = excluded.labels,
    last_raised_at = greatest(incidents_alert.last_raised_at, excluded.last_raised_at),
    raised_count = incidents_alert.raised_count + 1
RETURNING id
"""


def raise_alert(
    *,
    source_kind: str,
    source_key: str,
    team: Team | None,
    severity: str,
    route: str,
    title: str,
    runbook: str,
    at: datetime,
    detail: str = "",
    url: str = "",
    labels: dict[str, str] | None = None,
) -> Alert:
    """The open alert of this source: made, or brought up to date when it is there already. Safe to repeat.

    `severity`: info, warning, critical; `route`: page, ticket, report; `runbook`: the section to follow, required.
    One statement, so two workers that raise the same one make one row.
    """
    if not runbook:
        raise ValueError("An alert needs the runbook section that says what to do.")
    values: dict[str, Any] = {"kind": source_kind, "key": source_key, "team": team.pk if team else None}
    values |= {"severity": severity, "route": route, "title": title[:200], "detail": detail, "url": url}
    values |= {"runbook": runbook, "at": at}
    with connection.cursor() as cursor:
        cursor.execute(_RAISE, values | {"labels": json.dumps(labels or {})})
        return Alert.objects.get(pk=cursor.fetchone()[0])


def resolve_alert(*, source_kind: str, source_key: str, at: datetime) -> bool:
    """End the open alert of this source, no earlier than it began; whether there was one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE incidents_alert SET resolved_at = greatest(%s, started_at)"
            " WHERE source_kind = %s AND source_key = %s AND resolved_at IS NULL",
            [at, source_kind, source_key],
        )
        return cursor.rowcount == 1
