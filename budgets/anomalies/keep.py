"""Putting what a run found into rows, and the alerts that follow."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.urls import reverse

from accounts.models import Team
from aiops_site.formats import money
from budgets.models import Anomaly, AnomalyWatch
from budgets.rules.episode import NEW_NORMAL, SAME, Episode, Watched
from incidents.actions import raise_alert, resolve_alert
from incidents.models import Alert

ALERT, RUNBOOK = "anomaly", "cost-spike#detection"
GOES_ON = NEW_NORMAL + SAME  # an anomaly that began before may still go on
CRITICAL_TIMES = 2.0  # of the expected: a cost spike
CRITICAL_HOURS = 20  # times what an hour must be off to matter
_ROUTES = {Anomaly.Severity.WARNING: Alert.Route.TICKET, Anomaly.Severity.CRITICAL: Alert.Route.PAGE}


@dataclass(frozen=True)
class Found:
    """What a run found in one slice; all that begins at or after `since` was evaluated anew."""

    watch: AnomalyWatch
    since: datetime
    episodes: dict[tuple[Watched, datetime], Episode]
    least_usd: Decimal


def keep(team: Team, found: Iterable[Found], now: datetime) -> None:
    """Bring the rows and alerts of these slices up to date, in the caller's transaction."""
    found = list(found)
    since = min((one.since for one in found), default=now)
    rows = {
        (row.watch_id, row.metric, row.started_at): row
        for row in Anomaly.objects.filter(Q(ended_at=None) | Q(started_at__gte=since - GOES_ON), team=team)
    }
    for one in found:
        for (metric, started_at), episode in one.episodes.items():
            row = rows.pop((one.watch.pk, metric.value, started_at), None)
            _write(
                row or Anomaly(watch=one.watch, team=team, metric=metric.value, found_at=now), episode, one.least_usd
            )
    evaluated = {one.watch.pk: one.since for one in found}
    for row in rows.values():
        if row.watch_id in evaluated and row.started_at >= evaluated[row.watch_id] and not row.is_withdrawn:
            row.is_withdrawn = True
            row.save(update_fields=["is_withdrawn"])
    see_to_alerts(team, [one.watch for one in found], now)


def _write(row: Anomaly, episode: Episode, least_usd: Decimal) -> None:
    before = _facts(row) if row.pk else None
    for name, value in _facts_of(episode, least_usd).items():
        setattr(row, name, value)
    if before != _facts(row):
        row.save()


def _facts(row: Anomaly) -> dict[str, Any]:
    names = ("started_at", "ended_at", "up", "value", "expected", "low", "high", "score", "size_usd", "severity")
    return {name: getattr(row, name) for name in (*names, "is_provisional", "is_withdrawn", "course")}


def _facts_of(episode: Episode, least_usd: Decimal) -> dict[str, Any]:
    """Columns of an episode; one that began has a peak with a value and a band."""
    peak = episode.peak
    if peak is None or peak.value is None or peak.band is None:
        raise ValueError("An anomaly has at least one hour with a value and a band.")
    return {
        "started_at": episode.started_at,
        "ended_at": episode.ended_at,
        "up": episode.up,
        "value": peak.value,
        "expected": peak.band.middle,
        "low": peak.band.low,
        "high": peak.band.high,
        "score": episode.score,
        "size_usd": episode.usd,
        "severity": _severity(episode, least_usd),
        "is_provisional": episode.provisional,
        "is_withdrawn": False,
        "course": [point.state() for point in episode.course],
    }


def _severity(episode: Episode, least_usd: Decimal) -> str:
    """Less than expected is worth knowing, more is to be acted on; at once where it is twice as much and costs much."""
    if not episode.up:
        return Anomaly.Severity.INFO
    much = episode.usd is not None and episode.usd >= CRITICAL_HOURS * least_usd
    twice = episode.times is None or episode.times > CRITICAL_TIMES
    return Anomaly.Severity.CRITICAL if much and twice else Anomaly.Severity.WARNING


def see_to_alerts(team: Team, watches: Iterable[AnomalyWatch], now: datetime) -> None:
    """One alert a slice while anything of it costs more than expected and nobody has called it expected."""
    watches = list(watches)
    running = Anomaly.objects.filter(
        watch__in=watches, ended_at=None, is_withdrawn=False, decision="", up=True
    ).select_related("watch")
    worst: dict[int, Anomaly] = {}
    for one in sorted(running, key=lambda one: one.gravity):
        worst[one.watch_id] = one
    for one in worst.values():
        _raise(team, one, now)
    alerts = Alert.objects.filter(source_kind=ALERT, team=team, resolved_at=None)
    firing = set(alerts.values_list("source_key", flat=True))
    for watch in watches:
        if watch.pk not in worst and str(watch.pk) in firing:
            resolve_alert(source_kind=ALERT, source_key=str(watch.pk), at=now)


def _raise(team: Team, one: Anomaly, now: datetime) -> None:
    size = f"; {money(one.size_usd)} more than expected so far" if one.size_usd is not None else ""
    raise_alert(
        source_kind=ALERT,
        source_key=str(one.watch_id),
        team=team,
        severity=one.severity,
        route=_ROUTES[Anomaly.Severity(one.severity)],
        title=one.title,
        detail=f"Since {one.started_at:%Y-%m-%d %H:%M} UTC{size}.",
        url=reverse("anomaly-detail", args=[one.pk]),
        runbook=RUNBOOK,
        labels={"feature": one.watch.feature, "model": one.watch.model, "metric": one.metric},
        at=now,
    )
