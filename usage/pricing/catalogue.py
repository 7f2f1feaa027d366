"""Public list prices: the snapshot bundled with the genai-prices package. Never the network.

The package matches names with growing caches, so names from telemetry go to its matching functions directly and are
remembered in a bounded cache here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache

from genai_prices import __version__ as CATALOGUE_VERSION
from genai_prices.data import providers as PROVIDERS
from genai_prices.data_snapshot import find_provider_by_id
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, TieredPrices, TimeOfDateConstraint

from usage.pricing.aliases import PROVIDERS as PROVIDER_ALIASES
from usage.pricing.aliases import bare_model, normal
from usage.pricing.rates import BASE, Rate, TierTable, build_rate

__all__ = ["CATALOGUE_VERSION", "CatalogueModel", "DatedRate", "find", "find_provider", "normal_tier", "search"]

STANDARD_TIERS = frozenset({"", "default", "standard", "standard_only", "auto", "on_demand", "on-demand"})
# Before and after every price; a day inside what datetime can hold, because daily hours look at the day beside.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 1, 1, tzinfo=UTC)
_ZERO: TierTable = {BASE: Decimal(0)}


def normal_tier(tier: str) -> str:
    """The service tier as prices name it; '' for the standard one."""
    tier = normal(tier)
    return "" if tier in STANDARD_TIERS else tier


@dataclass(frozen=True)
class DatedRate:
    """A rate and the half-open interval it holds in; `rate` None: no price known in it."""

    start: datetime
    end: datetime
    rate: Rate | None


@dataclass(frozen=True, eq=False)
class CatalogueModel:
    """A model of the catalogue as sold by one provider. `listed`: the provider lists it itself (else it resells)."""

    provider: Provider
    model: ModelInfo
    listed: bool

    def dated_rate(self, tier: str, at: datetime) -> DatedRate:
        """The rate at a moment and how long it holds, for a tier as `normal_tier` gives it."""
        start, end = self._interval(at)
        return DatedRate(start, end, self._rate(tier, at))

    def periods(self, tier: str, at: datetime) -> list[DatedRate]:
        """Every dated price up to now and later, newest first; daily off-peak hours as they are on the day of `at`."""
        starts = sorted({BEGINNING, *(_midnight(day) for day in self._start_dates), *self._daily(at, days=(0,))})
        return [self.dated_rate(tier, start) for start in reversed(starts)]

    @property
    def tiers(self) -> list[str]:
        """Service tiers that have a price of their own."""
        found = {
            value
            for variant in self.model.price_variants or ()
            if self.listed
            for key, value in variant.when.items()
            if key in ("processing", "service_tier", "speed")
        }
        return sorted(found - STANDARD_TIERS)

    @property
    def url(self) -> str:
        return (self.provider.pricing_urls or [""])[0]

    @property
    def comment(self) -> str:
        return self.model.price_comments or self.provider.price_comments or ""

    def _rate(self, tier: str, at: datetime) -> Rate | None:
        if not tier:
            return _rate_of(self.model.get_prices(at), self.model.id)
        context = {"processing": tier, "service_tier": tier, "speed": tier}
        if not self.listed or not self._has_variant(context, at):
            return None
        return _rate_of(self.model.get_prices(at, context), self.model.id)

    def _has_variant(self, context: dict[str, str], at: datetime) -> bool:
        return any(
            variant.when.items() <= context.items() and (variant.constraint is None or variant.constraint.active(at))
            for variant in self.model.price_variants or ()
        )

    def _interval(self, at: datetime) -> tuple[datetime, datetime]:
        bounds = [*(_midnight(day) for day in self._start_dates), *self._daily(at, days=(-1, 0, 1))]
        start = max((bound for bound in bounds if bound <= at), default=BEGINNING)
        return start, min((bound for bound in bounds if bound > at), default=END)

    @cached_property
    def _constraints(self) -> list:
        prices = self.model.prices if isinstance(self.model.prices, list) else [ConditionalPrice(prices=ModelPrice())]
        dated = [*prices, *(self.model.price_variants or ())]
        return [price.constraint for price in dated if price.constraint is not None]

    @cached_property
    def _start_dates(self) -> list:
        return [rule.start_date for rule in self._constraints if not isinstance(rule, TimeOfDateConstraint)]

    def _daily(self, at: datetime, days: tuple[int, ...]) -> Iterator[datetime]:
        today = at.astimezone(UTC).date()
        for rule in self._constraints:
            if isinstance(rule, TimeOfDateConstraint):
                for offset in days:
                    day = today + timedelta(days=offset)
                    yield _on(day, rule.start_time)
                    yield _on(day, rule.end_time)


def _midnight(day) -> datetime:
    return datetime.combine(day, time(), UTC)


def _on(day, moment: time) -> datetime:
    """That UTC time of day on `day`; times without a zone are UTC (as the package reads them)."""
    utc = moment if moment.tzinfo is None else datetime.combine(day, moment).astimezone(UTC).time()
    return datetime.combine(day, utc.replace(tzinfo=None), UTC)


def _rate_of(prices: ModelPrice, model_id: str) -> Rate | None:
    """None where nothing that events report is priced: audio hours, pages, or an entry without a price.

    Such an empty entry is free only where its name says so; elsewhere it means that no price is known.
    """
    if prices.input_mtok is None and prices.output_mtok is None and prices.requests_kcount is None:
        free = model_id.endswith(":free") and not any(value is not None for value in vars(prices).values())
        return build_rate(input=_ZERO, output=_ZERO) if free else None
    return build_rate(
        input=_table(prices.input_mtok) or _ZERO,
        output=_table(prices.output_mtok) or _ZERO,
        cached=_table(prices.cache_read_mtok),
        cache_write=_table(prices.cache_write_mtok),
        reasoning=_table(prices.output_reasoning_mtok),
        request_usd=_flat(prices.requests_kcount) / 1000,
    )


def _flat(price: Decimal | TieredPrices | None) -> Decimal:
    """A price that knows no thresholds."""
    return price.base if isinstance(price, TieredPrices) else price or Decimal(0)


def _table(price: Decimal | TieredPrices | None) -> TierTable | None:
    if price is None:
        return None
    if isinstance(price, TieredPrices):
        return {BASE: price.base} | {tier.start: tier.price for tier in price.tiers}
    return {BASE: price}


@lru_cache(maxsize=4096)
def find_provider(name: str) -> Provider | None:
    """The catalogue's provider for a name from telemetry."""
    name = normal(name)
    return find_provider_by_id(PROVIDERS, PROVIDER_ALIASES.get(name, name)) if name else None


@lru_cache(maxsize=16384)
def find(provider: str, model: str) -> CatalogueModel | None:
    """The catalogue entry for names from telemetry, or None: never a guess.

    A provider named in the model ("azure/gpt-4o") counts where none is given, or the same, or LiteLLM. Without any,
    the model's maker is taken if exactly one claims the name.
    """
    name = bare_model(normal(model))
    if not name:
        return None
    seller = find_provider(provider)
    if seller is not None and (entry := _in_provider(seller, name)):
        return entry
    prefix, _, rest = name.partition("/")
    named = find_provider(prefix) if rest else None
    if named is not None and (seller is named or normal(provider) in ("", "litellm", "litellm_proxy")):
        return _in_provider(named, bare_model(rest))
    return _by_maker(name) if normal(provider) in ("", "litellm", "litellm_proxy") else None


def _in_provider(provider: Provider, name: str) -> CatalogueModel | None:
    model = provider.find_model(name, all_providers=PROVIDERS)
    if model is None:
        return None
    return CatalogueModel(provider, model, listed=any(model is one for one in provider.models))


def _by_maker(name: str) -> CatalogueModel | None:
    makers = [one for one in PROVIDERS if one.model_match is not None and one.model_match.is_match(name)]
    return _in_provider(makers[0], name) if len(makers) == 1 else None


def search(words: str, limit: int = 50) -> list[CatalogueModel]:
    """Catalogue entries whose provider, id or name contains every word, shortest names first."""
    wanted = normal(words).split()
    found = [
        CatalogueModel(provider, model, listed=True)
        for provider in PROVIDERS
        for model in provider.models
        if all(word in f"{provider.id} {provider.name} {model.id} {model.name or ''}".lower() for word in wanted)
    ]
    return sorted(found, key=lambda entry: (len(entry.model.id), entry.model.id, entry.provider.id))[:limit]
