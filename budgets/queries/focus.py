"""The charges of a window for the FOCUS export, read day by day from the metric query."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from django.db.models import Q

from accounts.models import Team
from budgets.rules.focus import TAGS, Charge
from budgets.rules.months import bounds
from usage.metrics import MetricQuery, Row, query
from usage.models import Price, Repricing
from usage.pricing.aliases import normal
from usage.queries.spend import one_snapshot

_TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
_METRICS = ("cost_usd", "events", "calls", "unpriced_calls", "unmetered_calls", *_TOKENS)
_GROUPS = ("team", "provider", "model", *TAGS)
DAY = timedelta(days=1)


class _Facts:
    """What the roll-ups do not say of a charge: negotiated prices and re-pricings of the teams over the window."""

    def __init__(self, teams: Collection[Team], start: datetime, end: datetime) -> None:
        self.teams = {team.slug: team for team in teams}
        ids = [team.pk for team in teams]
        later = Q(valid_to__isnull=True) | Q(valid_to__gt=start)
        self.prices = list(Price.objects.filter(later, team__in=ids, valid_from__lt=end))
        done = Repricing.objects.filter(state=Repricing.State.DONE, events_changed__gt=0, start__lt=end, end__gt=start)
        self.repricings = list(done.filter(Q(team=None) | Q(team__in=ids)))

    def negotiated(self, team: Team, provider: str, model: str, day: datetime) -> bool:
        return any(
            price.team_id == team.pk
            and _same(price, provider, model)
            and price.valid_from < day + DAY
            and (price.valid_to is None or price.valid_to > day)
            for price in self.prices
        )

    def repricings_of(self, team: Team, provider: str, model: str, day: datetime) -> list[Repricing]:
        return [
            one
            for one in self.repricings
            if one.team_id in (None, team.pk)
            and _same(one, provider, model)
            and one.start < day + DAY
            and one.end > day
        ]


def _same(named: Price | Repricing, provider: str, model: str) -> bool:
    return normal(named.provider) == normal(provider) and normal(named.model) == normal(model)


def charges(teams: Collection[Team], start: datetime, end: datetime, now: datetime) -> Iterator[Charge]:
    """Charges of whole UTC days in [start, end), day by day, in one snapshot: their costs add up to the spend of it.

    Memory is that of one day. The snapshot lasts until the last charge is taken.
    """
    end = min(end, now.replace(hour=0, minute=0, second=0, microsecond=0) + DAY)
    with one_snapshot():
        facts = _Facts(teams, start, end)
        day = start
        while day < end:
            yield from _of_day(facts, day, now)
            day += DAY


def _of_day(facts: _Facts, day: datetime, now: datetime) -> Iterator[Charge]:
    ids = tuple(team.pk for team in facts.teams.values())
    result = query(MetricQuery(_METRICS, day, day + DAY, group_by=_GROUPS, team_ids=ids), now)
    for row in result.rows:
        if row.values["cost_usd"] != 0 or row.values["calls"] or _unknown(row):
            yield _charge(facts, day, row)


def _unknown(row: Row) -> int:
    return row.values["unpriced_calls"] + row.values["unmetered_calls"]


def _charge(facts: _Facts, day: datetime, row: Row) -> Charge:
    slug, provider, model, *tags = row.key
    team, values = facts.teams[slug], row.values
    repricings = facts.repricings_of(team, provider, model, day)
    month_end = bounds(day)[1]
    return Charge(
        start=day,
        end=day + DAY,
        team=slug,
        team_name=team.name,
        provider=provider,
        model=model,
        tags=tuple(zip(TAGS, tags, strict=True)),
        cost=values["cost_usd"],
        # Some operations that are no model calls have a price too: then their events are what is counted.
        calls=values["calls"] or values["events"],
        unpriced=values["unpriced_calls"],
        unmetered=values["unmetered_calls"],
        tokens=tuple(values[name] for name in _TOKENS),
        negotiated=facts.negotiated(team, provider, model, day),
        repriced=bool(repricings),
        corrected=any(one.finished_at and one.finished_at >= month_end for one in repricings),
    )
