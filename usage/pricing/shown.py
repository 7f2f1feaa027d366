"""Rates and their source in words, for pages and the API."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from usage.pricing.book import Book, Source
from usage.pricing.catalogue import BEGINNING, END, CatalogueModel
from usage.pricing.queries import InUse
from usage.pricing.rates import ATTO_PER_USD, Band, Rate, per_mtok

EVERY_TEAM = 0  # no team has this id, so only prices for all teams apply


@dataclass(frozen=True)
class RateLine:
    """The rates of one band as people read them, USD per million tokens: $2.50.

    `above` is its threshold of input tokens, None for the base; `per_call` is '' where calls cost nothing themselves.
    """

    above: int | None
    input: str
    cached: str
    cache_write: str
    output: str
    reasoning: str
    per_call: str


@dataclass(frozen=True)
class Listing:
    """A catalogue entry with its dated prices, newest first, and its special tiers' prices now."""

    entry: CatalogueModel
    now: list[RateLine]
    periods: list[tuple[datetime | None, datetime | None, list[RateLine]]]
    tiers: list[tuple[str, list[RateLine]]]


@dataclass(frozen=True)
class ShownSource:
    """Where the price of a model comes from now, and how many of the viewer's teams have negotiated their own."""

    source: Source
    lines: list[RateLine]
    negotiated: int


def rate_lines(rate: Rate | None) -> list[RateLine]:
    """Base first, then the tiers from low to high; empty without a price."""
    if rate is None:
        return []
    per_call = dollars(Decimal(rate.request) / ATTO_PER_USD) if rate.request else ""
    return [_line(band, per_call) for band in (rate.base, *reversed(rate.tiers))]


def dollars(usd: Decimal) -> str:
    """Every digit of a rate, and cents at least: $10.00, $0.075."""
    whole, _, cents = f"{usd.normalize():f}".partition(".")
    return f"${int(whole):,}.{cents.ljust(2, '0')}"


def _line(band: Band, per_call: str) -> RateLine:
    return RateLine(
        above=None if band.above < 0 else band.above,
        input=dollars(per_mtok(band.input)),
        cached=dollars(per_mtok(band.cached)),
        cache_write=dollars(per_mtok(band.cache_write)),
        output=dollars(per_mtok(band.output)),
        reasoning=dollars(per_mtok(band.reasoning)),
        per_call=per_call,
    )


def listing(entry: CatalogueModel, now: datetime) -> Listing:
    """A catalogue entry ready to draw."""
    periods = entry.periods("", now)
    shown = [
        (None if one.start == BEGINNING else one.start, None if one.end == END else one.end, rate_lines(one.rate))
        for one in periods
    ]
    tiers = [(tier, lines) for tier in entry.tiers if (lines := rate_lines(entry.dated_rate(tier, now).rate))]
    return Listing(entry, rate_lines(entry.dated_rate("", now).rate), shown if len(shown) > 1 else [], tiers)


def shown_source(book: Book, model: InUse, team_ids: set[int], now: datetime) -> ShownSource:
    """The price that holds for a model in every team without a negotiated one."""
    source = book.explain(EVERY_TEAM, model.provider, model.model, "", "", now)
    negotiating = {
        price.team_id
        for price in book.own_prices(model.provider, model.model)
        if price.team_id in team_ids and price.valid_from <= now and (price.valid_to is None or now < price.valid_to)
    }
    return ShownSource(source, rate_lines(source.rate), len(negotiating))
