"""Changing prices: each change, its audit row, the new version of the book and its marker are one transaction."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.actions import Author, audit
from accounts.models import Team
from usage.models import ChangeMarker, Price
from usage.pricing.aliases import normal
from usage.pricing.book import BOOK_ID
from usage.pricing.catalogue import normal_tier
from usage.rules.calendar import is_plausible

RATES = ("input_mtok", "cached_input_mtok", "cache_write_mtok", "output_mtok", "reasoning_mtok", "request_usd")


@dataclass(frozen=True)
class Rates:
    """Own rates in USD per million tokens (`request_usd`: per call); None: see `usage.pricing.book.own_rate`."""

    input_mtok: Decimal | None = None
    cached_input_mtok: Decimal | None = None
    cache_write_mtok: Decimal | None = None
    output_mtok: Decimal | None = None
    reasoning_mtok: Decimal | None = None
    request_usd: Decimal | None = None


def add_price(
    *,
    author: Author,
    team: Team | None,
    provider: str,
    model: str,
    rates: Rates,
    valid_from: datetime,
    valid_to: datetime | None = None,
    region: str = "",
    tier: str = "",
    note: str = "",
) -> Price:
    """A new own price; `team` None means every team. Names are kept in lower case, as they are compared.

    Raises ValidationError naming the field: bad rates or dates, or dates that overlap another price of the same
    team, provider, model, region and tier.
    """
    price = Price(
        team=team,
        provider=normal(provider),
        model=normal(model),
        region=normal(region),
        tier=normal_tier(tier),
        valid_from=valid_from,
        valid_to=valid_to,
        note=note,
        created_by=author.user,
        **vars(rates),
    )
    with transaction.atomic():
        new_book_version()
        _save(price)
        _record(price, "price.added", author, before=None)
    return price


def edit_price(*, author: Author, price: Price, rates: Rates, effective_from: datetime, note: str = "") -> Price:
    """New rates from `effective_from` on; returns the price that then holds.

    From a later moment than the price's own start, the old rates end there and stay as history. From its start or
    earlier the price was wrong all along and is corrected in place. Raises ValidationError as `add_price` does.
    """
    with transaction.atomic():
        new_book_version()
        old = Price.objects.select_related("team").get(pk=price.pk)
        if effective_from <= old.valid_from:
            return _correct(old, rates, effective_from, note, author)
        if old.valid_to is not None and effective_from >= old.valid_to:
            raise ValidationError(
                {"valid_from": f"This price ended on {old.valid_to:%Y-%m-%d %H:%M} UTC. Add a new one."}
            )
        return _succeed(old, rates, effective_from, note, author)


def _correct(price: Price, rates: Rates, effective_from: datetime, note: str, author: Author) -> Price:
    before = facts(price)
    price.valid_from, price.note = effective_from, note
    for name, value in vars(rates).items():
        setattr(price, name, value)
    _save(price)
    _record(price, "price.corrected", author, before=before)
    return price


def _succeed(old: Price, rates: Rates, effective_from: datetime, note: str, author: Author) -> Price:
    before, end = facts(old), old.valid_to
    old.valid_to = effective_from
    _save(old)
    new = Price(
        team=old.team,
        provider=old.provider,
        model=old.model,
        region=old.region,
        tier=old.tier,
        valid_from=effective_from,
        valid_to=end,
        note=note,
        created_by=author.user,
        **vars(rates),
    )
    _save(new)
    _record(new, "price.changed", author, before=before)
    return new


def end_price(*, author: Author, price: Price, at: datetime) -> Price:
    """The price holds until `at`; afterwards the next one in precedence or the catalogue does.

    Raises ValidationError when it does not begin before `at` or has ended by then.
    """
    with transaction.atomic():
        new_book_version()
        price = Price.objects.select_related("team").get(pk=price.pk)
        before = facts(price)
        if at <= price.valid_from:
            raise ValidationError({"valid_to": f"It must end after it starts ({price.valid_from:%Y-%m-%d %H:%M} UTC)."})
        if price.valid_to is not None and price.valid_to <= at:
            raise ValidationError({"valid_to": f"It ends on {price.valid_to:%Y-%m-%d %H:%M} UTC already."})
        price.valid_to = at
        _save(price)
        _record(price, "price.ended", author, before=before, at=at)
    return price


def facts(price: Price) -> dict:
    """The price as JSON-able facts for the audit log."""
    rates = {name: str(value) for name in RATES if (value := getattr(price, name)) is not None}
    return {
        "team": price.team.slug if price.team else "all",
        "provider": price.provider,
        "model": price.model,
        "region": price.region,
        "tier": price.tier,
        "valid_from": price.valid_from.isoformat(),
        "valid_to": price.valid_to.isoformat() if price.valid_to else None,
        "note": price.note,
    } | rates


def new_book_version() -> None:
    """One price change at a time, and a version no other state of the table ever had.

    The version is a clock and not a counter: a counter would repeat a number after a rolled-back change, and a
    process that had read the book inside that transaction would then take its stale copy for the new one.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO usage_pricebook (id, version, changed_at)
            VALUES (%s, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, clock_timestamp())
            ON CONFLICT (id) DO UPDATE
            SET version = greatest(usage_pricebook.version + 1, excluded.version), changed_at = excluded.changed_at
            """,
            [BOOK_ID],
        )


def _save(price: Price) -> None:
    price.full_clean(validate_constraints=False)
    _check(price)
    if clash := _overlapping(price).first():
        raise ValidationError({"valid_from": _clash_text(clash)})
    try:
        with transaction.atomic():
            price.save()
    except IntegrityError as exc:
        if getattr(getattr(exc.__cause__, "diag", None), "constraint_name", "") != "price_one_at_a_time":
            raise
        raise ValidationError({"valid_from": "Another price of this model holds in these dates."}) from exc


def _check(price: Price) -> None:
    problems = {}
    if price.input_mtok is None and price.output_mtok is None and price.request_usd is None:
        problems["input_mtok"] = "Give at least one of input, output and per call."
    for name in RATES:
        if (value := getattr(price, name)) is not None and value < 0:
            problems[name] = "A price is 0 or more."
    for name in ("valid_from", "valid_to"):
        if (moment := getattr(price, name)) is not None and not is_plausible(moment):
            problems[name] = "The year must be from 2000 to 2200."
    if price.valid_to is not None and price.valid_to <= price.valid_from:
        problems["valid_to"] = "It must be after the start."
    if problems:
        raise ValidationError(problems)


def _overlapping(price: Price):
    same = Price.objects.exclude(pk=price.pk).filter(
        team=price.team, provider=price.provider, model=price.model, region=price.region, tier=price.tier
    )
    same = same.filter(Q(valid_to=None) | Q(valid_to__gt=price.valid_from))
    return same.filter(valid_from__lt=price.valid_to) if price.valid_to else same


def _clash_text(other: Price) -> str:
    until = f"until {other.valid_to:%Y-%m-%d %H:%M}" if other.valid_to else "with no end"
    return (
        f"Overlaps the price that holds from {other.valid_from:%Y-%m-%d %H:%M} {until} (UTC)."
        " Edit or end that one, or choose other dates."
    )


_CURRENT = object()


def _record(price: Price, action: str, author: Author, *, before, after=_CURRENT, at: datetime | None = None) -> None:
    """The audit row and the change marker. The marker stands where the price begins or ends to hold from now on."""
    after = facts(price) if after is _CURRENT else after
    audit(
        action=action,
        target=f"{price.provider or 'no provider'} {price.model}",
        team=price.team,
        before=before,
        after=after,
        reason=price.note,
        **author.signature,
    )
    ChangeMarker.objects.create(
        team=price.team,
        at=max(timezone.now(), at or price.valid_from),
        kind=ChangeMarker.Kind.PRICE,
        title=f"{action.replace('.', ' ').capitalize()}: {price.model}"[:200],
        description=price.note,
        ref=price.model[:200],
        created_by=author.user,
    )
