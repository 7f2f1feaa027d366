"""Which rules' conditions held in windows that were judged before all of their events had come."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from accounts.models import Team
from incidents.models import AlertRule
from incidents.queries.backtests import Span, Tried, backtest
from incidents.queries.readings import FAILS, canonical
from incidents.rules.measured import terms

# Of these the figures are sums over events; that nothing came cannot be learnt from what comes.
KINDS = (AlertRule.Kind.THRESHOLD, AlertRule.Kind.BASELINE)


@dataclass(frozen=True)
class Held:
    """A time for which a rule's condition held over one label set. until None: it still does; worst: in the unit."""

    rule: AlertRule
    team_id: int
    labels: dict[str, str]
    since: datetime
    until: datetime | None
    worst: Decimal | None

    @property
    def source_key(self) -> str:
        """As evaluation names the alert of this label set."""
        return f"{self.rule.pk}:{self.team_id}:{canonical(self.labels)}"[:200]

    def reaches(self, minute: datetime) -> bool:
        """Whether a minute lies in one of its windows."""
        first = self.since - timedelta(seconds=self.rule.window_seconds)
        return first <= minute and (self.until is None or minute < self.until)


def held_late(rules: Sequence[AlertRule], team: Team, minutes: Sequence[datetime], now: datetime) -> list[Held]:
    """Of the last day, what the rules find by the steps of their backtest in windows with one of these minutes.

    A rule that cannot be read is left out: its evaluation says so.
    """
    found: list[Held] = []
    for rule in rules:
        try:
            tried = backtest(rule, [team.pk], now, days=1).sets
        except FAILS:
            continue
        found += [one for label_set in tried for one in _times(rule, team, label_set)]
    return [one for one in found if any(one.reaches(minute) for minute in minutes)]


def _times(rule: AlertRule, team: Team, tried: Tried) -> Iterator[Held]:
    for span in tried.spans:
        if span.start >= rule.created_at:
            since = span.start - timedelta(seconds=rule.for_seconds)
            yield Held(rule, team.pk, tried.labels, since, span.end, _worst(rule, tried, span))


def _worst(rule: AlertRule, tried: Tried, span: Span) -> Decimal | None:
    within = [
        value
        for at, value in tried.points.items()
        if value is not None and at >= span.start and (span.end is None or at < span.end)
    ]
    return (max if terms(rule).above else min)(within, default=None)
