"""The price book: who wins, from when to when, and never stale."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from usage.models import ChangeMarker, Price
from usage.pricing import book as books
from usage.pricing.actions import Rates, add_price, edit_price, end_price
from usage.pricing.book import Book, current

START = datetime(2026, 10, 1, tzinfo=UTC)
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
SYSTEM = Author(label="test")
pytestmark = pytest.mark.django_db


def add(usd, team=None, **fields) -> Price:
    values = {"provider": "openai", "model": "gpt-4o", "valid_from": START} | fields
    return add_price(author=SYSTEM, team=team, rates=Rates(input_mtok=Decimal(usd), output_mtok=Decimal(1)), **values)


def usd(team=1, provider="openai", model="gpt-4o", region="", tier="", at=AT, **fields) -> Decimal | None:
    """What a million input tokens cost now by the book."""
    rate = current().rate(getattr(team, "pk", team), provider, model, region, tier, at, **fields)
    return rate.cost(1_000_000) if rate else None


def test_without_own_prices_the_catalogue_holds(cast):
    assert usd() == Decimal("2.5")
    assert current().explain(1, "openai", "gpt-4o", "", "", AT).kind == "catalogue"


def test_precedence_is_team_then_region_then_tier_then_catalogue(cast):
    support = cast.support
    prices = [
        ("10", None, {}),
        ("11", None, {"tier": "batch"}),
        ("12", None, {"region": "eu"}),
        ("13", support, {}),
        ("14", support, {"region": "eu"}),
    ]
    for price, team, fields in prices:
        add(price, team, **fields)
    assert usd(cast.search) == 10
    assert usd(cast.search, tier="batch") == 11
    assert usd(cast.search, region="eu") == 12
    assert usd(cast.search, region="eu", tier="batch") == 12
    assert usd(support) == 13
    assert usd(support, tier="batch") == 13
    assert usd(support, region="EU") == 14
    assert usd(support, region="us") == 13


def test_a_team_never_gets_another_teams_price(cast):
    add("7", cast.support)
    assert usd(cast.support) == 7
    assert usd(cast.search) == Decimal("2.5")


def test_a_price_holds_from_its_start_to_just_before_its_end(cast):
    end = START + timedelta(days=10)
    add("7", valid_to=end)
    moment = timedelta(microseconds=1)
    assert [usd(at=at) for at in (START - moment, START, end - moment, end)] == [Decimal("2.5"), 7, 7, Decimal("2.5")]


def test_the_names_of_events_are_compared_without_case(cast):
    add("7", model="GPT-4o")
    assert usd(provider="OpenAI", model="gpt-4O") == 7


def test_calls_that_name_no_provider_have_prices_of_their_own(cast):
    add("7", provider="", model="in-house")
    assert usd(provider="", model="in-house") == 7
    assert usd(provider="openai", model="in-house") is None


def test_the_model_that_answered_is_asked_where_the_requested_one_has_no_price(cast):
    assert usd(model="my-deployment") is None
    assert usd(model="my-deployment", response_model="gpt-4o-2024-08-06") == Decimal("2.5")
    add("9", model="my-deployment")
    assert usd(model="my-deployment", response_model="gpt-4o-2024-08-06") == 9


def test_the_model_that_ran_is_billed_where_a_router_chose_another(cast):
    assert usd(model="gpt-4o", response_model="gpt-4o-mini-2024-07-18") == Decimal("0.15")
    add("2", model="gpt-4o")
    assert usd(model="gpt-4o", response_model="gpt-4o-mini-2024-07-18") == Decimal("0.15")
    assert usd(model="gpt-4o", response_model="gpt-4o-2024-08-06") == 2, "a dated name is the same model"
    assert usd(model="gpt-4o", response_model="/models/whatever") == 2


def test_unknown_is_none(cast):
    assert usd(model="gpt-99") is None


def test_looking_at_the_book_costs_one_small_query(cast):
    current()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        current()
        usd()
    assert len(queries) == 2  # one for each `current()`
    assert "usage_pricebook" in queries[0]["sql"]


def test_a_price_is_in_the_book_as_soon_as_it_is_saved(cast):
    assert usd() == Decimal("2.5")
    price = add("7")
    assert usd() == 7
    edit_price(author=SYSTEM, price=price, rates=Rates(input_mtok=Decimal(8)), effective_from=START)
    assert usd() == 8


def test_a_change_that_is_rolled_back_leaves_no_trace_in_the_book(cast):
    """A counter would give the next change the number of the one that never was."""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        add("7")
        assert usd() == 7
        raise ZeroDivisionError
    assert usd() == Decimal("2.5")
    add("8")
    assert usd() == 8


def test_memory_stays_bounded_whatever_names_come(cast, monkeypatch):
    monkeypatch.setattr(books, "MEMORY", 10)
    book = Book(0, [])
    for number in range(35):
        book.rate(1, "openai", f"model-{number}", "", "", AT)
    assert len(book._memory) <= 10


def test_rates_between_two_own_prices_and_the_catalogue_are_remembered_by_interval(cast):
    add("7", valid_to=START + timedelta(days=1))
    add("8", valid_from=START + timedelta(days=2))
    book = current()
    moments = [START + timedelta(hours=12 * i) for i in (-1, 0, 1, 2, 3, 4, 5)]
    asked = [book.rate(1, "openai", "gpt-4o", "", "", at).cost(1_000_000) for at in moments * 2]
    assert asked == [Decimal("2.5"), 7, 7, Decimal("2.5"), Decimal("2.5"), 8, 8] * 2


# --- Changing prices --------------------------------------------------------------------------------------------------


def test_overlapping_dates_are_refused_with_the_price_in_the_way(cast):
    add("7")
    with pytest.raises(ValidationError) as refused:
        add("8", valid_from=START + timedelta(days=1))
    assert "holds from 2026-10-01 00:00 with no end" in refused.value.message_dict["valid_from"][0]
    add("8", cast.support, valid_from=START + timedelta(days=1))
    add("9", region="eu")


def test_the_database_itself_refuses_two_prices_at_once(cast):
    first = add("7")
    first.pk = None
    with pytest.raises(Exception, match="price_one_at_a_time"), transaction.atomic():
        first.save()


@pytest.mark.parametrize(
    ("rates", "field"),
    [
        (Rates(), "input_mtok"),
        (Rates(cached_input_mtok=Decimal(1)), "input_mtok"),
        (Rates(input_mtok=Decimal(-1)), "input_mtok"),
        (Rates(input_mtok=Decimal("0.0000000001")), "input_mtok"),
    ],
)
def test_bad_rates_are_refused_by_field(cast, rates, field):
    with pytest.raises(ValidationError) as refused:
        add_price(author=SYSTEM, team=None, provider="p", model="m", rates=rates, valid_from=START)
    assert field in refused.value.message_dict
    assert not AuditEntry.objects.filter(action__startswith="price.").exists()


def test_a_price_must_end_after_it_starts(cast):
    with pytest.raises(ValidationError) as refused:
        add("7", valid_to=START)
    assert "valid_to" in refused.value.message_dict


def test_new_rates_end_the_old_ones_and_keep_them_as_history(cast):
    old, change = add("7"), START + timedelta(days=20)
    new = edit_price(author=SYSTEM, price=old, rates=Rates(input_mtok=Decimal(8)), effective_from=change)
    old.refresh_from_db()
    assert (old.valid_to, new.valid_from, new.valid_to) == (change, change, None)
    assert (usd(at=change - timedelta(seconds=1)), usd(at=change)) == (7, 8)


def test_a_price_that_was_wrong_from_its_start_is_corrected_in_place(cast):
    old = add("7")
    same = edit_price(author=SYSTEM, price=old, rates=Rates(input_mtok=Decimal(8)), effective_from=START)
    assert same.pk == old.pk
    assert Price.objects.count() == 1


def test_an_ended_price_cannot_be_ended_later_or_changed_after(cast):
    price = add("7", valid_to=START + timedelta(days=5))
    with pytest.raises(ValidationError):
        end_price(author=SYSTEM, price=price, at=START + timedelta(days=6))
    with pytest.raises(ValidationError):
        end_price(author=SYSTEM, price=price, at=START)
    with pytest.raises(ValidationError):
        edit_price(author=SYSTEM, price=price, rates=Rates(input_mtok=Decimal(8)), effective_from=AT)
    end_price(author=SYSTEM, price=price, at=START + timedelta(days=2))
    assert usd(at=START + timedelta(days=3)) == Decimal("2.5")


def test_every_change_is_audited_and_marked_on_the_charts(cast):
    author = Author(user=cast.fatima)
    rates = Rates(input_mtok=Decimal(8))
    price = add_price(
        author=author,
        team=cast.support,
        provider="openai",
        model="gpt-4o",
        rates=rates,
        valid_from=START,
        note="Contract",
    )
    edit_price(author=author, price=price, rates=Rates(input_mtok=Decimal(6)), effective_from=AT)
    end_price(author=author, price=price, at=START + timedelta(days=1))
    entries = list(AuditEntry.objects.filter(action__startswith="price.").order_by("pk"))
    assert [entry.action for entry in entries] == ["price.added", "price.changed", "price.ended"]
    assert entries[1].before["input_mtok"] == "8.000000000"
    assert entries[1].after["input_mtok"] == "6"
    assert {entry.team_id for entry in entries} == {cast.support.pk}
    assert entries[0].reason == "Contract"
    markers = ChangeMarker.objects.filter(kind="price", team=cast.support)
    assert markers.count() == 3
    assert all(marker.at >= timezone.now() - timedelta(minutes=1) for marker in markers)
