"""The price book: own and negotiated prices laid over the catalogue.

`current()` costs one look at the book's version; a price saved before a call of it is always in the book it returns.
A book at the version now in the database has exactly the prices now in it: what ingest priced with `remembered()` is
stored by a statement that compares the two.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import Lock

from django.db import connection

from usage.models import AttributionRule, Price, PriceBook
from usage.pricing.aliases import normal
from usage.pricing.catalogue import BEGINNING, END, CatalogueModel, DatedRate, find, normal_tier
from usage.pricing.rates import BASE, Rate, build_rate

# Names come from telemetry: forget all remembered rates when a client sends ever new ones.
MEMORY = 20_000
BOOK_ID = 1

_Key = tuple[int, str, str, str, str, str]


@dataclass(frozen=True)
class Source:
    """Where a price comes from: one own price, or the catalogue, or neither."""

    rate: Rate | None
    start: datetime
    end: datetime
    price: Price | None = None
    entry: CatalogueModel | None = None

    @property
    def kind(self) -> str:
        if self.price is not None:
            return "team" if self.price.team_id else "own"
        return "catalogue" if self.entry is not None and self.rate is not None else "unknown"


class Book:
    """All prices at one version. Safe to share between threads: what it remembers is only ever added to.

    keys_apart: API keys whose calls have series of their own; kept here because ingest proves this version anyway.
    """

    def __init__(self, version: int, prices: list[Price], keys_apart: frozenset[int] = frozenset()):
        self.version, self.keys_apart = version, keys_apart
        self._own: dict[tuple[str, str], list[Price]] = {}
        for price in prices:
            self._own.setdefault((normal(price.provider), normal(price.model)), []).append(price)
        self._rates = {price.pk: own_rate(price) for price in prices}
        self._memory: dict[_Key, tuple[list[datetime], list[DatedRate]]] = {}
        self._lock = Lock()

    def rate(
        self,
        team_id: int,
        provider: str,
        model: str,
        region: str,
        tier: str,
        at: datetime,
        response_model: str = "",
    ) -> Rate | None:
        """The rate of one call, or None where no price is known.

        What ran is what is billed: `response_model` decides where it is another model than the one asked for.
        """
        return self.dated_rate(team_id, provider, model, region, tier, at, response_model).rate

    def dated_rate(
        self, team_id: int, provider: str, model: str, region: str, tier: str, at: datetime, response_model: str = ""
    ) -> DatedRate:
        """The rate at a moment with the interval it holds in (for callers that price many calls of one kind)."""
        key = (team_id, provider, model, region, tier, response_model or "")
        if known := self._memory.get(key):
            starts, rates = known
            place = bisect_right(starts, at) - 1
            if place >= 0 and at < rates[place].end:
                return rates[place]
        return self._remember(key, at)

    def _remember(self, key: _Key, at: datetime) -> DatedRate:
        team_id, provider, model, region, tier, response_model = key
        found = self._resolve(team_id, provider, model, region, tier, at, response_model)
        fresh = DatedRate(found.start, found.end, found.rate)
        with self._lock:
            if len(self._memory) >= MEMORY:
                self._memory = {}
            kept = self._memory.get(key, ([], []))[1]
            rates = sorted({one.start: one for one in (*kept, fresh)}.values(), key=lambda one: one.start)
            self._memory[key] = ([one.start for one in rates], rates)
        return fresh

    def explain(
        self, team_id: int, provider: str, model: str, region: str, tier: str, at: datetime, response_model: str = ""
    ) -> Source:
        """Where the price of a call comes from and how long it holds, for pages."""
        return self._resolve(team_id, provider, model, region, tier, at, response_model)

    def _resolve(self, team_id, provider, model, region, tier, at, response_model) -> Source:
        asked = self._of_model(team_id, provider, model, region, tier, at)
        if not response_model or normal(response_model) == normal(model):
            return asked
        answered = self._of_model(team_id, provider, response_model, region, tier, at)
        best = (
            answered
            if _answered_decides(asked, answered, find(provider, model), find(provider, response_model))
            else asked
        )
        # Both can change at a bound of either: an interval must not outlive the reason for its rate.
        start, end = max(asked.start, answered.start), min(asked.end, answered.end)
        return Source(best.rate, start, end, best.price, best.entry)

    def _of_model(self, team_id: int, provider: str, model: str, region: str, tier: str, at: datetime) -> Source:
        tier, region = normal_tier(tier), normal(region)
        candidates = [
            price
            for price in self._own.get((normal(provider), normal(model)), ())
            if price.team_id in (None, team_id)
            and normal(price.region) in ("", region)
            and normal_tier(price.tier) in ("", tier)
        ]
        start, end = _interval(candidates, at)
        holding = [one for one in candidates if one.valid_from <= at and (one.valid_to is None or at < one.valid_to)]
        if holding:
            best = max(holding, key=precedence)
            return Source(self._rates[best.pk], start, end, price=best)
        entry = find(provider, model)
        if entry is None:
            return Source(None, start, end)
        listed = entry.dated_rate(tier, at)
        return Source(listed.rate, max(start, listed.start), min(end, listed.end), entry=entry)

    def rate_of(self, price: Price) -> Rate:
        """The rate of an own price, whether it holds now or not."""
        return self._rates.get(price.pk) or own_rate(price)

    def own_prices(self, provider: str, model: str) -> list[Price]:
        """Own prices of a model, of any team, region, tier and date."""
        return list(self._own.get((normal(provider), normal(model)), ()))


def _answered_decides(
    asked: Source, answered: Source, asked_for: CatalogueModel | None, ran: CatalogueModel | None
) -> bool:
    """Whether the model that answered sets the price, not the one asked for.

    What ran is what is billed: it decides where it has an own price, or where both are known and are not the same
    model (a router or a fallback chose another). A dated name of the same model is the same model, and a deployment's
    own name keeps its own price.
    """
    if answered.rate is None:
        return False
    if answered.price is not None or asked.rate is None:
        return True
    return asked_for is not None and ran is not None and ran.model is not asked_for.model


def _interval(prices: list[Price], at: datetime) -> tuple[datetime, datetime]:
    bounds = [bound for price in prices for bound in (price.valid_from, price.valid_to) if bound is not None]
    start = max((bound for bound in bounds if bound <= at), default=BEGINNING)
    return start, min((bound for bound in bounds if bound > at), default=END)


def precedence(price: Price) -> tuple[bool, bool, bool]:
    """Which of several prices that hold wins: a team's over all teams', then a region's, then a tier's."""
    return price.team_id is not None, price.region != "", normal_tier(price.tier) != ""


def own_rate(price: Price) -> Rate:
    """The rate of an own price. A side left empty is not charged; cached, cache-write and reasoning left empty follow
    input, input and output."""

    def table(value: Decimal | None) -> dict[int, Decimal] | None:
        return None if value is None else {BASE: value}

    nothing = {BASE: Decimal(0)}
    return build_rate(
        input=table(price.input_mtok) or nothing,
        output=table(price.output_mtok) or nothing,
        cached=table(price.cached_input_mtok),
        cache_write=table(price.cache_write_mtok),
        reasoning=table(price.reasoning_mtok),
        request_usd=price.request_usd or Decimal(0),
    )


_book: Book | None = None
_loading = Lock()


def current() -> Book:
    """The book at its latest committed version: one tiny SELECT, and a reload when a price changed.

    The book is shared by the whole process. Outside a transaction (as ingest calls it) there is no staleness: a price
    committed before this call is in it.
    """
    version = _version()
    book = _book
    return book if book is not None and book.version == version else _load(version)


def remembered() -> Book:
    """The book of this process without a look at the database, for callers that check its version when they write."""
    return _book or current()


def _version() -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT version FROM {PriceBook._meta.db_table} WHERE id = %s", [BOOK_ID])
        row = cursor.fetchone()
    return row[0] if row else 0


def _load(wanted: int) -> Book:
    """Read version, then prices: prices newer than the version are read again at the next call, never missed."""
    global _book
    with _loading:
        if _book is not None and _book.version == wanted:
            return _book
        _book = Book(_version(), list(Price.objects.order_by("pk")), _keys_apart())
        return _book


def _keys_apart() -> frozenset[int]:
    """Keys that have, or ever had, a rule of attribution."""
    found = AttributionRule.objects.filter(api_key__isnull=False).values_list("api_key_id", flat=True)
    return frozenset(key for key in found if key is not None)
