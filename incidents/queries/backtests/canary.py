"""How often a rule of synthetic checks would have fired: failed runs in a row, as the runs that are kept tell."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db.models import BooleanField, Q, QuerySet, Window
from django.db.models.functions import Lag, TruncHour

from accounts.models import AuditEntry
from incidents.models import AlertRule, Canary, CanaryRun
from incidents.queries.backtests.replay import Backtest, Drawn, Tried, ranked, replayed
from incidents.queries.canaries import watched_by
from incidents.queries.readings import HOUR
from incidents.rules.alert_rules import Reading, Terms
from incidents.rules.measured import terms

NOTHING_YET = "No run of such a check is kept yet, so there is nothing to judge."


class Turn(NamedTuple):
    """From `at` on so many runs in a row had failed."""

    at: datetime
    failed: int


def try_canary(rule: AlertRule, allowed: list[int], now: datetime, days: int) -> Backtest:
    """Every check the rule watches, at each of its runs. A check that was edited begins counting anew, as it did."""
    start = now - timedelta(days=days)
    checks = watched_by(rule).filter(Q(team__in=allowed) | Q(team=None)).select_related("team")
    runs = CanaryRun.objects.filter(canary__in=checks, at__gt=start, at__lte=now)
    turns, hours = _turns(runs, start), _hours(runs)
    asked = terms(rule)
    sets = [_try(check, turns[check.pk], hours[check.pk], asked, now) for check in checks if check.pk in hours]
    since = min((min(found) for found in hours.values()), default=None)
    note = "" if since else NOTHING_YET
    return Backtest(start, now, "", 1, 1, ranked(sets), since=since, note=note, drawn=Drawn("count", asked.threshold))


def _turns(runs: QuerySet[CanaryRun], start: datetime) -> dict[int, list[Turn]]:
    """Check → its failed runs, the first good ones after them, and its edits, in order of time."""
    before = Window(Lag("ok"), partition_by="canary", order_by="at", output_field=BooleanField())
    told = runs.annotate(before=before).filter(Q(ok=False) | Q(before=False))
    moments: list[tuple[datetime, int, bool]] = list(told.order_by("at").values_list("at", "canary_id", "ok"))
    found: dict[int, list[Turn]] = defaultdict(list)
    for at, pk, well in sorted([*moments, *_edits(start)]):
        last = found[pk][-1].failed if found[pk] else 0
        found[pk].append(Turn(at, 0 if well else last + 1))
    return found


def _edits(start: datetime) -> Iterator[tuple[datetime, int, bool]]:
    """(moment, check, True) of each edit: they are written down as "check 12: name"."""
    for at, target in AuditEntry.objects.filter(action="canary.edit", at__gt=start).values_list("at", "target"):
        yield at, int(target.removeprefix("check ").partition(":")[0]), True


def _hours(runs: QuerySet[CanaryRun]) -> dict[int, set[datetime]]:
    """Check → hours in which it ran."""
    found: dict[int, set[datetime]] = defaultdict(set)
    for pk, hour in runs.annotate(hour=TruncHour("at")).order_by().values_list("canary_id", "hour").distinct():
        found[pk].add(hour)
    return found


def _try(check: Canary, turns: Sequence[Turn], hours: set[datetime], asked: Terms, now: datetime) -> Tried:
    _, spans = replayed(asked, _readings(turns, asked, now))
    worst: dict[datetime, int] = defaultdict(int)
    for turn in turns:
        hour = turn.at.replace(minute=0, second=0, microsecond=0)
        worst[hour] = max(worst[hour], turn.failed)
    first, last = min(hours), max(hours)
    every = [first + HOUR * number for number in range(int((last - first) / HOUR) + 1)]
    points = {hour: Decimal(worst[hour]) if hour in hours else None for hour in every}
    return Tried(check.team.name if check.team else "All teams", {"check": check.name}, points, spans)


def _readings(turns: Sequence[Turn], asked: Terms, now: datetime) -> Iterator[tuple[datetime, Reading]]:
    """At each turn that changes the verdict, and when what it began has held for long enough."""
    changes = list(_changes(turns, asked))
    holds = (timedelta(0), timedelta(seconds=asked.for_seconds), timedelta(seconds=asked.clear_seconds), HOUR)
    moments = sorted({moment for turn in changes for hold in holds if (moment := turn.at + hold) <= now} | {now})
    place = -1
    for at in moments:
        while place + 1 < len(changes) and changes[place + 1].at <= at:
            place += 1
        yield at, Reading(Decimal(changes[place].failed) if place >= 0 else None)


def _changes(turns: Iterable[Turn], asked: Terms) -> Iterator[Turn]:
    """Those in which it begins or ends to be beyond the threshold."""
    beyond = False
    for turn in turns:
        if (turn.failed > asked.threshold) != beyond:
            beyond = not beyond
            yield turn
