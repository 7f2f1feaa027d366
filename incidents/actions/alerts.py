"""Raising and resolving alerts, one or thousands. People are told by group, through the outbox, never from here."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from django.db import connection, transaction

from accounts.actions import Author, audit
from accounts.models import Team
from incidents.actions.grouping import join, settle
from incidents.actions.timeline import record
from incidents.models import Alert, AlertRule, TimelineEntry
from incidents.rules.answering import answers, nearest

# Who begins and ends alerts takes turns: groups and incidents of several alerts then need no order of locks.
_TURN = "SELECT pg_advisory_xact_lock(hashtext('incidents.alerts'))"
_RAISE = """
INSERT INTO incidents_alert (team_id, source_kind, source_key, severity, route, title, detail, url, runbook, labels,
    rule_id, muted_by, started_at, last_raised_at, raised_count)
SELECT team_id, source_kind, source_key, severity, route, title, detail, url, runbook, labels, rule_id, '', at, at, 1
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(team_id bigint, source_kind text, source_key text, severity text,
    route text, title text, detail text, url text, runbook text, labels jsonb, rule_id bigint, at timestamptz)
ON CONFLICT (source_kind, source_key) WHERE resolved_at IS NULL DO UPDATE
SET severity = excluded.severity, route = excluded.route, title = excluded.title, detail = excluded.detail,
    url = excluded.url, runbook = excluded.runbook, labels = excluded.labels, rule_id = excluded.rule_id,
    last_raised_at = greatest(incidents_alert.last_raised_at, excluded.last_raised_at),
    raised_count = incidents_alert.raised_count + 1
RETURNING id
"""
_RESOLVE = """
UPDATE incidents_alert SET resolved_at = greatest(%(at)s, started_at)
WHERE source_kind = %(kind)s AND source_key = ANY(%(keys)s) AND resolved_at IS NULL
RETURNING group_id
"""


@dataclass(frozen=True)
class Raised:
    """One condition that holds: what its alert says. `rule_id`: the rule that found it or stands for its source."""

    source_kind: str
    source_key: str
    team_id: int | None
    severity: str
    route: str
    title: str
    runbook: str
    at: datetime
    detail: str = ""
    url: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    rule_id: int | None = None


def take_turn() -> None:
    """Wait, inside a transaction, until nobody else begins or ends alerts; held until it ends."""
    with connection.cursor() as cursor:
        cursor.execute(_TURN)


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
    A rule of kind budget or anomaly for this source and severity decides them instead. Two workers make one alert.
    """
    if not runbook:
        raise ValueError("An alert needs the runbook section that says what to do.")
    one = Raised(
        source_kind,
        source_key,
        team.pk if team else None,
        severity,
        route,
        title,
        runbook,
        at,
        detail,
        url,
        labels or {},
    )
    return begin([_as_its_rule_says(one)], at)[0]


def begin(raised: Sequence[Raised], at: datetime) -> list[Alert]:
    """The open alerts of these conditions, in their groups; people are told of groups that became louder."""
    if not raised:
        return []
    with transaction.atomic():
        take_turn()
        rows = [asdict(one) | {"title": one.title[:200], "at": one.at.isoformat()} for one in raised]
        with connection.cursor() as cursor:
            cursor.execute(_RAISE, {"rows": json.dumps(rows)})
            ids = [pk for (pk,) in cursor.fetchall()]
        settle(join(ids, at), at)
        found = {(one.source_kind, one.source_key): one for one in Alert.objects.filter(pk__in=ids)}
    return [found[one.source_kind, one.source_key] for one in raised]


def resolve_alert(*, source_kind: str, source_key: str, at: datetime) -> bool:
    """End the open alert of this source, no earlier than it began; whether there was one."""
    return resolve(source_kind, [source_key], at) == 1


def resolve(source_kind: str, source_keys: Iterable[str], at: datetime) -> int:
    """End the open alerts of these sources and the groups in which nothing fires any more; returns how many."""
    keys = list(source_keys)
    if not keys:
        return 0
    with transaction.atomic():
        take_turn()
        with connection.cursor() as cursor:
            cursor.execute(_RESOLVE, {"at": at, "kind": source_kind, "keys": keys})
            groups = [group for (group,) in cursor.fetchall()]
        settle({group for group in groups if group}, at)
    return len(groups)


def acknowledge(*, author: Author, alerts: Sequence[Alert], at: datetime) -> int:
    """Somebody looks after these firing alerts from now on; those acknowledged before stay as they are."""
    with transaction.atomic():
        mine = Alert.objects.select_for_update().filter(
            pk__in=[one.pk for one in alerts], resolved_at=None, acknowledged_at=None
        )
        waiting = list(mine.order_by("pk"))
        Alert.objects.filter(pk__in=[one.pk for one in waiting]).update(acknowledged_at=at, acknowledged_by=author.user)
        for one in waiting:
            audit(**author.signature, action="alert.acknowledge", target=one, team=one.team)
            if one.group and one.group.incident:
                text = f"Acknowledged: {one.title}"
                record(one.group.incident, TimelineEntry.Kind.ALERT, text, at=at, author=author.user)
    return len(waiting)


def _as_its_rule_says(one: Raised) -> Raised:
    """Severity, route and runbook of the rule that stands for what another part of the desk found, its team's first."""
    rules = AlertRule.objects.filter(
        kind__in=[AlertRule.Kind.BUDGET, AlertRule.Kind.ANOMALY], options__source=one.source_kind
    ).select_related("runbook_section__runbook")
    mine = [rule for rule in rules if rule.team_id in (None, one.team_id)]
    fitting = [rule for rule in mine if answers(rule, one.severity, one.labels)]
    if not fitting:
        return one
    rule = nearest(fitting)
    return replace(one, severity=rule.severity, route=rule.route, runbook=rule.runbook_section.key, rule_id=rule.pk)
