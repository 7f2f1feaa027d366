"""Windows judged before all of their events had come are judged again: once, bounded, and without paging.

Evaluation reads the windows that end now. Events that come after their windows had passed would be seen by nobody, so
roll-ups remember the minutes they changed late (usage.rollups.late). What the rules find there and did not find then
becomes an alert that is over already and says so.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max, Min, Q
from django.urls import reverse

from accounts.models import Team
from incidents.actions.alerts import take_turn
from incidents.actions.evaluation import SOURCE, active_rules, own_rules
from incidents.actions.notifying import notify
from incidents.models import Alert, AlertRule
from incidents.queries.late import KINDS, Held, held_late
from incidents.queries.muting import Muting, in_force, told
from incidents.rules.alert_rules import Reading
from incidents.rules.grouping import rank
from incidents.rules.measured import measured, terms
from incidents.rules.words import condition, detail, title
from usage.models import LateMinute
from usage.rollups.late import LOOK_BACK

LONGEST = timedelta(seconds=20)  # of one run; the teams that are left have their turn in the next
QUIET, WAITS = timedelta(seconds=45), timedelta(minutes=10)  # a client that empties its buffer is waited for so long
STILL = timedelta(hours=2)  # what still holds is for evaluation to find; so long it is looked at again
MOST, LISTED = 50, 20  # alerts of a team at once; of those, lines of the notification


@dataclass(frozen=True)
class Looked:
    """What a run did: teams looked at, alerts begun, teams left for the next run."""

    teams: int = 0
    begun: int = 0
    left: int = 0


def evaluate_late(now: datetime, longest: timedelta = LONGEST) -> Looked:
    """Look again at the windows of every team that got late events."""
    LateMinute.objects.filter(bucket__lt=now - LOOK_BACK).delete()
    waiting, started = _waiting(now), time.monotonic()
    done = begun = 0
    for team in waiting:
        if done and time.monotonic() - started > longest.total_seconds():
            break
        begun += _look_again(team, now)
        done += 1
    return Looked(done, begun, len(waiting) - done)


def _waiting(now: datetime) -> list[Team]:
    """Teams whose late events have stopped coming, or come for long already; the longest waiting first."""
    by_team = LateMinute.objects.values("team_id").annotate(first=Min("noticed_at"), last=Max("noticed_at"))
    ready = by_team.filter(Q(last__lte=now - QUIET) | Q(first__lte=now - WAITS)).order_by("first")
    teams = Team.objects.in_bulk([row["team_id"] for row in ready])
    return [teams[row["team_id"]] for row in ready if row["team_id"] in teams]


def _look_again(team: Team, now: datetime) -> int:
    minutes = dict(LateMinute.objects.filter(team_id=team.pk).values_list("bucket", "noticed_at"))
    found = held_late(_rules_of(team), team, sorted(minutes), now)
    with transaction.atomic():
        take_turn()
        known = _known(found, now)
        new = [one for one in found if not _is_known(one, known[one.source_key])]
        alerts = _write(_worst_first([one for one in new if one.until]), in_force(now), now)
        _tell(team, alerts, now)
        _forget(team, minutes, [one for one in new if one.until is None], now)
    return len(alerts)


def _rules_of(team: Team) -> list[AlertRule]:
    """Rules over the team; not those of all teams instead of which it has its own."""
    rules = list(active_rules().filter(Q(team=team) | Q(team=None), kind__in=KINDS))
    own = own_rules(rules)
    return [rule for rule in rules if rule.team_id or team.pk not in own[rule.slug]]


# --- What is new ------------------------------------------------------------------------------------------------
def _known(found: Iterable[Held], now: datetime) -> dict[str, list[Alert]]:
    """Source key → alerts of the last day that there are of it."""
    known: dict[str, list[Alert]] = defaultdict(list)
    recent = Q(resolved_at=None) | Q(resolved_at__gt=now - 2 * LOOK_BACK)
    for alert in Alert.objects.filter(recent, source_kind=SOURCE, source_key__in={one.source_key for one in found}):
        known[alert.source_key].append(alert)
    return known


def _is_known(one: Held, alerts: Sequence[Alert]) -> bool:
    """Whether it fired in these windows; an alert that was learnt late too lasts as long as is known by now."""
    begins = one.since - timedelta(seconds=one.rule.window_seconds)
    for alert in alerts:
        if (alert.resolved_at is None or alert.resolved_at >= begins) and (
            one.until is None or alert.started_at <= one.until
        ):
            if alert.learnt_at and alert.resolved_at and one.until and one.until > alert.resolved_at:
                alert.resolved_at = alert.last_raised_at = one.until
                alert.save(update_fields=["resolved_at", "last_raised_at"])
            return True
    return False


def _worst_first(new: Iterable[Held]) -> list[list[Held]]:
    """The times of each label set, in order; the loudest MOST of them."""
    by_key: dict[str, list[Held]] = defaultdict(list)
    for one in new:
        by_key[one.source_key].append(one)
    sets = [sorted(times, key=lambda one: one.since) for times in by_key.values()]
    return sorted(sets, key=lambda times: rank(times[0].rule.severity, times[0].rule.route), reverse=True)[:MOST]


# --- What becomes of it -----------------------------------------------------------------------------------------
def _write(sets: Iterable[Sequence[Held]], muting: Muting, now: datetime) -> list[Alert]:
    alerts = [_alert(times, now) for times in sets]
    for alert in alerts:
        alert.muted_by = muting.why(told(alert))
    return Alert.objects.bulk_create(alerts)


def _alert(times: Sequence[Held], now: datetime) -> Alert:
    """One alert for all the times of a label set, over since the last of them."""
    first, rule = times[0], times[0].rule
    until = max(one.until for one in times if one.until)
    what, asked = measured(rule), terms(rule)
    values = [one.worst for one in times if one.worst is not None]
    reading = Reading((max if asked.above else min)(values, default=None))
    sentence = condition(what.name, asked.above, asked.threshold, what.unit, rule.window_seconds, rule.for_seconds)
    often = f", {len(times)} times in between" if len(times) > 1 else ""
    learnt = f"It held from {first.since:%H:%M} to {until:%H:%M} UTC{often}; its events came late, it was known at"
    return Alert(
        team_id=first.team_id,
        source_kind=SOURCE,
        source_key=first.source_key,
        severity=rule.severity,
        route=min(rule.route, Alert.Route.TICKET, key=lambda route: rank(rule.severity, route)),
        title=f"Already over: {title(rule.name, reading, what.unit, first.labels)}"[:200],
        detail=f"{learnt} {now:%H:%M} UTC. {detail(sentence, reading, what.unit, what.of, '')}",
        runbook=rule.runbook_section.key,
        labels=first.labels,
        rule=rule,
        started_at=first.since,
        last_raised_at=until,
        resolved_at=until,
        learnt_at=now,
        raised_count=len(times),
    )


def _tell(team: Team, alerts: Sequence[Alert], now: datetime) -> None:
    """One notification of a team and hour, never a page."""
    loud = [alert for alert in alerts if not alert.muted_by]
    if not loud:
        return
    worst = max(loud, key=lambda one: rank(one.severity, one.route))
    more = f" (and {len(loud) - 1} more)" if len(loud) > 1 else ""
    notify(
        kind="alert",
        team=team,
        severity=worst.severity,
        route=worst.route,
        title=f"{worst.title}{more}",
        body="\n".join(f"{one.title}. {one.detail} Runbook: {one.runbook}." for one in loud[:LISTED]),
        url=reverse("alert-detail", args=[worst.pk]),
        key=f"late:{team.pk}:{now:%Y-%m-%dT%H}",
        at=now,
    )


def _forget(team: Team, minutes: dict[datetime, datetime], still: Sequence[Held], now: datetime) -> None:
    """The minutes that were looked at, unless they changed meanwhile or what holds there still holds."""
    done = [minute for minute in minutes if minute < now - STILL or not any(one.reaches(minute) for one in still)]
    seen = max(minutes.values(), default=now)
    LateMinute.objects.filter(team_id=team.pk, bucket__in=done, noticed_at__lte=seen).delete()
