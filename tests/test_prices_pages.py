"""The price pages over HTTP: who sees and does what, and what the pages say."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from usage import partitions
from usage.actions import record_events
from usage.models import Price, Repricing
from usage.pricing.actions import Rates, add_price
from usage.pricing.repricing.requests import request_repricing
from usage.rollups import drain

SYSTEM = Author(label="test")
PAGES = ["price-list", "price-add", "price-unpriced", "price-differences", "repricing-list", "repricing-new"]
pytestmark = pytest.mark.django_db


def price(team=None, model="acme-1", **fields) -> Price:
    rates = Rates(input_mtok=Decimal(2), output_mtok=Decimal(10))
    values = {"valid_from": timezone.now() - timedelta(days=9)} | fields
    return add_price(author=SYSTEM, team=team, provider="acme", model=model, rates=rates, **values)


def send(team, count: int = 3, **fields) -> None:
    partitions.ensure(timezone.now())
    at = timezone.now() - timedelta(hours=1)
    call = {"provider": "acme", "model": "acme-1", "operation": "chat", "input_tokens": 1000, "output_tokens": 500}
    calls = [call | {"event_id": f"{team.slug}-{i}", "occurred_at": at.isoformat()} | fields for i in range(count)]
    assert record_events(team=team, environment="prod", api_key_id=None, events=calls).accepted == count
    drain()


def posted(**changes) -> dict:
    values = {
        "team": "",
        "provider": "Acme",
        "model": "Acme-1",
        "region": "",
        "tier": "",
        "valid_to": "",
        "note": "Why",
    }
    rates = {"input_mtok": "2.5", "output_mtok": "10"}
    return values | rates | {"valid_from": "2026-01-01T00:00"} | changes


@pytest.mark.parametrize("name", PAGES)
def test_every_page_answers_with_one_heading(client, cast, name):
    client.force_login(cast.fatima)
    response = client.get(reverse(name))
    assert response.status_code == 200
    assert response.content.count(b"<h1") == 1


@pytest.mark.parametrize("name", PAGES)
def test_strangers_are_asked_to_sign_in(client, name):
    assert client.get(reverse(name)).status_code == 302


def test_a_viewer_reads_prices_but_cannot_edit_them(client, cast):
    own = price(cast.support)
    client.force_login(cast.vera)
    page = client.get(reverse("price-list")).content.decode()
    assert "acme-1" in page
    assert "Add a price" not in page
    assert client.get(reverse("price-add")).status_code == 403
    assert client.get(reverse("price-edit", args=[own.pk])).status_code == 403
    assert client.post(reverse("repricing-new"), {}).status_code == 403


def test_another_teams_price_is_not_there(client, cast):
    theirs = price(cast.search, model="secret-model")
    client.force_login(cast.tara)
    assert b"secret-model" not in client.get(reverse("price-list")).content
    assert client.get(reverse("price-edit", args=[theirs.pk])).status_code == 404
    run = request_repricing(
        author=SYSTEM, team=cast.search, provider="acme", model="secret-model", start=timezone.now() - timedelta(days=1)
    )
    assert client.get(reverse("repricing-detail", args=[run.pk])).status_code == 404
    assert client.post(reverse("repricing-cancel", args=[run.pk])).status_code == 404
    assert b"secret-model" not in client.get(reverse("repricing-list")).content


def test_a_run_over_all_teams_is_for_those_who_see_all_teams(client, cast):
    run = request_repricing(
        author=SYSTEM, team=None, provider="acme", model="m", start=timezone.now() - timedelta(days=1)
    )
    client.force_login(cast.tara)
    assert client.get(reverse("repricing-detail", args=[run.pk])).status_code == 404
    client.force_login(cast.emil)
    assert client.get(reverse("repricing-detail", args=[run.pk])).status_code == 200


def test_a_teams_admin_edits_that_teams_prices_only(client, cast):
    client.force_login(cast.tara)
    assert client.post(reverse("price-add"), posted()).status_code == 200  # all teams is not on offer
    assert client.post(reverse("price-add"), posted(team=cast.search.pk)).status_code == 200
    assert not Price.objects.exists()
    assert client.post(reverse("price-add"), posted(team=cast.support.pk)).status_code == 302
    everyones = price()
    assert client.get(reverse("price-edit", args=[everyones.pk])).status_code == 403


def test_saving_a_price_offers_to_re_price_with_the_effect_first(client, cast):
    send(cast.support)
    client.force_login(cast.fatima)
    response = client.post(reverse("price-add"), posted(), follow=True)
    page = response.content.decode()
    assert "Re-price 3 calls of acme-1?" in page
    assert "$0.0225" in page  # 3 × (1,000 × 2.5 + 500 × 10) / 1M
    assert "unknown" in page  # their cost now
    own = Price.objects.get()
    assert (own.provider, own.model, own.created_by) == ("acme", "acme-1", cast.fatima)
    asked = {"team": "", "provider": "acme", "model": "acme-1", "start": "2026-01-01T00:00", "end": ""}
    response = client.post(reverse("repricing-new"), asked, follow=True)
    run = Repricing.objects.get()
    assert response.redirect_chain == [(reverse("repricing-detail", args=[run.pk]), 302)]
    assert (run.events_total, run.requested_by) == (3, cast.fatima)
    client.post(reverse("repricing-cancel", args=[run.pk]))
    run.refresh_from_db()
    assert run.state == Repricing.State.CANCELLED
    client.post(reverse("repricing-resume", args=[run.pk]))
    run.refresh_from_db()
    assert run.state == Repricing.State.WAITING


def test_mistakes_are_named_at_their_field(client, cast):
    client.force_login(cast.fatima)
    price()
    for changes, text in [
        ({"input_mtok": "", "output_mtok": ""}, "Give at least one of input, output and per call."),
        ({"input_mtok": "-1"}, "greater than or equal to 0"),
        ({"input_mtok": "NaN"}, "Enter a number"),
        ({"valid_to": "2025-01-01T00:00"}, "It must be after the start."),
        ({}, "Overlaps the price that holds from"),
        ({"model": ""}, "This field is required."),
        ({"valid_from": "tomorrow"}, "Enter a valid date/time."),
    ]:
        page = client.post(reverse("price-add"), posted(**changes)).content.decode()
        assert text in page, changes
    assert Price.objects.count() == 1


def test_editing_keeps_history_and_ending_ends(client, cast):
    own = price()
    client.force_login(cast.fatima)
    url = reverse("price-edit", args=[own.pk])
    now = timezone.now() - timedelta(hours=2)
    response = client.post(url, {"input_mtok": "3", "output_mtok": "10", "effective_from": f"{now:%Y-%m-%dT%H:%M}"})
    assert response.status_code == 302
    old, new = Price.objects.order_by("valid_from")
    assert (old.valid_to, new.input_mtok) == (new.valid_from, 3)
    end = reverse("price-edit", args=[new.pk])
    refused = client.post(end, {"action": "end", "at": "2020-01-01T00:00"})
    assert b"It must end after it starts" in refused.content
    assert client.post(end, {"action": "end", "at": f"{timezone.now():%Y-%m-%dT%H:%M}"}).status_code == 302
    new.refresh_from_db()
    assert new.valid_to is not None


def test_unpriced_calls_are_listed_with_a_way_to_price_them(client, cast):
    send(cast.support)
    send(cast.search, 2)
    client.force_login(cast.fatima)
    page = client.get(reverse("price-unpriced")).content.decode()
    assert "5 calls without a price" in page
    assert f"{reverse('price-add')}?provider=acme&amp;model=acme-1" in page
    client.force_login(cast.vera)
    page = client.get(reverse("price-unpriced")).content.decode()
    assert "3 calls without a price" in page
    assert "Search" not in page.split("<main")[1]
    assert "Set price" not in page


def test_a_price_form_comes_filled_in(client, cast):
    client.force_login(cast.fatima)
    page = client.get(reverse("price-add"), {"provider": "acme", "model": "acme-1", "team": "support"}).content.decode()
    assert 'value="acme-1"' in page
    assert f'<option value="{cast.support.pk}" selected>' in page


def test_differences_are_listed_with_the_calls_behind_them(client, cast):
    price()
    send(cast.support, reported_cost_usd="0.02")
    client.force_login(cast.vera)
    url = reverse("price-differences")
    page = client.get(url).content.decode()
    assert "$0.06" in page  # reported, 3 × 0.02
    assert "$0.021" in page  # computed, 3 × 0.007
    page = client.get(url, {"by": "acme", "of": "acme-1"}).content.decode()
    assert "support-0" in page
    assert "Nothing to compare" in client.get(url, {"environment": "dev"}).content.decode()
    assert "$0.06" in client.get(url, {"environment": "prod", "model": "acme-1"}).content.decode()
    client.force_login(cast.stan)
    assert "support-0" not in client.get(url, {"by": "acme", "of": "acme-1"}).content.decode()


def test_the_catalogue_can_be_searched(client, cast):
    client.force_login(cast.vera)
    page = client.get(reverse("price-list"), {"q": "openai gpt-4o-mini"}).content.decode()
    assert "$0.15" in page
    page = client.get(reverse("price-list"), {"q": "no such thing"}).content.decode()
    assert "No such model in the catalogue" in page


def test_models_in_use_show_where_their_price_comes_from(client, cast):
    price()
    send(cast.support)
    send(cast.search, provider="openai", model="gpt-4o")
    client.force_login(cast.emil)
    page = client.get(reverse("price-list")).content.decode()
    assert "own price" in page
    assert "negotiated by" not in page
    assert "catalogue</a>" in page
    price(cast.support)
    assert "negotiated by 1 team" in client.get(reverse("price-list")).content.decode()


def test_the_number_of_queries_does_not_grow_with_the_prices(client, cast, django_assert_max_num_queries):
    client.force_login(cast.fatima)
    for number in range(30):
        price(cast.support if number % 2 else None, model=f"m-{number}")
    client.get(reverse("price-list"))
    with django_assert_max_num_queries(11):
        client.get(reverse("price-list"))
