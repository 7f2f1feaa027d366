"""Suggestions for the backlog from the last 30 days: figures by team, feature and model, and the price book."""

from collections.abc import Collection
from datetime import datetime, timedelta

from accounts.models import Team
from budgets.models import BacklogItem
from budgets.rules.suggest import Slice, Suggestion, suggestions
from usage.metrics import MetricQuery, Row, query
from usage.pricing import book
from usage.pricing.book import Book

DAYS = 30
# Calls without usage that may be left out, as a share of the others.
FEW = 0.05
_METRICS = (
    "calls",
    "input_tokens",
    "cached_input_tokens",
    "context_tokens",
    "output_tokens",
    "retries",
    "cost_usd",
    "unpriced_calls",
    "unmetered_calls",
)


def suggested(teams: Collection[Team], now: datetime) -> list[Suggestion]:
    """What the figures suggest and nobody has accepted yet, highest ROI first."""
    ids = {team.slug: team.pk for team in teams}
    start = now - timedelta(days=DAYS)
    groups = ("team", "feature", "provider", "model")
    result = query(MetricQuery(_METRICS, start, now, group_by=groups, team_ids=tuple(ids.values())), now)
    prices = book.current()
    slices = [part for row in result.rows if (part := _slice(row, ids, prices, now))]
    found = []
    for slug in ids:  # a team's ideas come from its own models only
        found += suggestions([part for part in slices if part.team == slug], DAYS)
    taken = set(BacklogItem.objects.filter(team__in=teams).exclude(source="").values_list("team__slug", "source"))
    open_ones = [one for one in found if (one.team, one.key) not in taken]
    return sorted(open_ones, key=lambda one: (-one.roi, one.team, one.key))


def _slice(row: Row, ids: dict[str, int], prices: Book, now: datetime) -> Slice | None:
    """The figures of a row; None where there is nothing to reckon with: no calls, no price, or too many without usage.

    Calls that reported no usage have no tokens either, so a few of them are simply left out.
    """
    slug, feature, provider, model = row.key
    values = row.values
    calls = values["calls"] - values["unmetered_calls"]
    if calls <= 0 or not values["cost_usd"] or values["unpriced_calls"] or values["unmetered_calls"] > FEW * calls:
        return None
    rate = prices.rate(ids[slug], provider, model, "", "", now)
    if rate is None:
        return None
    return Slice(
        team=slug,
        feature=feature,
        provider=provider,
        model=model,
        calls=calls,
        input=values["input_tokens"],
        cached=values["cached_input_tokens"],
        context=values["context_tokens"],
        output=values["output_tokens"],
        retries=values["retries"],
        cost=values["cost_usd"],
        rate=rate,
    )
