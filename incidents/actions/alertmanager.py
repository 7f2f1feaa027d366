"""Taking notifications of Prometheus Alertmanager: any order, any number of times, the same alerts come of it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q, Value
from django.db.models.functions import Greatest

from accounts.models import Team
from incidents.actions.alerts import Raised, begin, resolve, take_turn
from incidents.models import Alert, Runbook
from incidents.rules.alertmanager import GROUP_LABEL, Doing, decide, route_of, runbook_of, severity_of, supersedes

KIND = "alertmanager"


@dataclass(frozen=True)
class Notified:
    """One alert as Alertmanager tells it. `ends_at` counts only where it is not firing."""

    fingerprint: str
    firing: bool
    starts_at: datetime
    ends_at: datetime
    labels: dict[str, str]
    annotations: dict[str, str]
    url: str
    group: str


def receive(*, team: Team, alerts: Sequence[Notified], at: datetime) -> dict[str, int]:
    """Bring the team's alerts in line with a notification, in one transaction; how many alerts had what done.

    An alert begins at its startsAt and ends at its endsAt. One that fires again, with a newer startsAt, is a new one;
    the older ends then at the latest. What is older than what is known changes nothing.
    """
    done: Counter[Doing] = Counter()
    with transaction.atomic():
        take_turn()
        runbooks = set(Runbook.objects.values_list("slug", flat=True))
        for part in _rounds(alerts):
            known = _known(team, part)
            over = [one for one in part if supersedes(one.starts_at, known.get(_key(team, one), {}))]
            for one in over:
                resolve(KIND, [_key(team, one)], one.starts_at)
            decided = [(_decided(one, known.get(_key(team, one), {})), one) for one in part]
            _do(decided, team, runbooks, at)
            done.update(doing for doing, _ in decided)
    return {doing.value: done[doing] for doing in Doing}


def _rounds(alerts: Sequence[Notified]) -> Iterator[list[Notified]]:
    """The alerts by startsAt, in lists that name each fingerprint once."""
    left = sorted(alerts, key=lambda one: one.starts_at)
    while left:
        first: dict[str, Notified] = {}
        later = [one for one in left if first.setdefault(one.fingerprint, one) is not one]
        yield list(first.values())
        left = later


def _decided(one: Notified, known: dict[datetime, bool]) -> Doing:
    return decide(firing=one.firing, starts_at=one.starts_at, known=known)


def _key(team: Team, one: Notified) -> str:
    return f"{team.pk}:{one.fingerprint}"


def _known(team: Team, alerts: Sequence[Notified]) -> dict[str, dict[datetime, bool]]:
    """Episodes of these fingerprints, by key and start; of those that ended, the ones told of now and the last."""
    keys = {_key(team, one) for one in alerts}
    found: dict[str, dict[datetime, bool]] = {}
    mine = Alert.objects.filter(source_kind=KIND, source_key__in=keys).order_by("source_key", "-started_at")
    told = mine.filter(Q(resolved_at=None) | Q(started_at__in={one.starts_at for one in alerts}))
    last = mine.distinct("source_key")
    for query in (told, last):
        for key, start, ended in query.values_list("source_key", "started_at", "resolved_at"):
            found.setdefault(key, {})[start] = ended is None
    return found


def _do(decided: Sequence[tuple[Doing, Notified]], team: Team, runbooks: set[str], at: datetime) -> None:
    """What ends first, then what begins; all that begins in one go."""
    ends: dict[datetime, list[str]] = defaultdict(list)
    for doing, one in decided:
        if doing is Doing.CLOSE:
            ends[one.ends_at].append(_key(team, one))
    for moment, keys in ends.items():
        resolve(KIND, keys, moment)
    begun = begin([_raised(one, team, runbooks) for doing, one in decided if doing in (Doing.OPEN, Doing.KEEP)], at)
    Alert.objects.filter(pk__in=[one.pk for one in begun]).update(last_raised_at=Greatest("last_raised_at", Value(at)))
    over = [_over(_raised(one, team, runbooks), one) for doing, one in decided if doing is Doing.NOTE]
    Alert.objects.bulk_create(over)


def _raised(one: Notified, team: Team, runbooks: set[str]) -> Raised:
    said = one.labels | one.annotations
    severity = severity_of(one.labels)
    name = one.labels.get("alertname", one.fingerprint)
    external = one.annotations.get("runbook_url", "")
    detail = [one.annotations.get("description") or one.annotations.get("message", "")]
    detail += [f"Runbook of the sender: {external}"] if external else []
    return Raised(
        source_kind=KIND,
        source_key=_key(team, one),
        team_id=team.pk,
        severity=severity,
        route=route_of(one.labels, severity),
        title=(one.annotations.get("summary") or one.annotations.get("title") or name)[:200],
        runbook=runbook_of(said, runbooks)[:100],
        at=one.starts_at,
        detail="\n".join(part for part in detail if part),
        url=one.url if one.url.startswith(("https://", "http://")) and len(one.url) <= 500 else "",
        labels=one.labels | {GROUP_LABEL: one.group},
    )


def _over(raised: Raised, one: Notified) -> Alert:
    """An episode that is over already: for the history, nobody is told."""
    facts = {name: getattr(raised, name) for name in ("team_id", "severity", "route", "title", "detail", "url")}
    facts |= {name: getattr(raised, name) for name in ("source_kind", "source_key", "runbook", "labels")}
    end = max(one.ends_at, one.starts_at)
    return Alert(**facts, started_at=one.starts_at, last_raised_at=one.starts_at, resolved_at=end)
