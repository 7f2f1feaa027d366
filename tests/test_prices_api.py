"""The price API: a key edits its own team's prices and nobody else's."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.actions import Author
from accounts.models import AuditEntry
from tests.cast import bearer, make_key
from usage.models import Price, Repricing
from usage.pricing.actions import Rates, add_price

SYSTEM = Author(label="test")
PRICES, REPRICINGS = "/api/v1/prices", "/api/v1/repricings"
pytestmark = pytest.mark.django_db


@pytest.fixture
def headers(cast):
    return bearer(make_key(cast.support, "read", "prices")[1])


def new(**changes) -> dict:
    body = {"provider": "vllm", "model": "Llama-Own", "input_mtok": "0.60", "output_mtok": "0.9"}
    return body | {"valid_from": "2026-11-01T00:00:00Z"} | changes


def add(client, headers, **changes):
    return client.post(PRICES, new(**changes), content_type="application/json", headers=headers)


def test_a_key_adds_reads_changes_and_ends_its_teams_price(client, cast, headers):
    added = add(client, headers)
    assert added.status_code == 201
    body = added.json()
    assert (body["team"], body["model"], body["input_mtok"]) == ("support", "llama-own", "0.600000000")
    assert [one["id"] for one in client.get(PRICES, {"model": "Llama-own"}, headers=headers).json()] == [body["id"]]
    url = f"{PRICES}/{body['id']}"
    change = {"input_mtok": "0.5", "effective_from": "2026-11-10T00:00:00Z", "note": "Cheaper power"}
    changed = client.patch(url, change, content_type="application/json", headers=headers).json()
    assert changed["id"] != body["id"]
    assert changed["valid_from"] == client.get(url, headers=headers).json()["valid_to"]
    ended = client.delete(f"{PRICES}/{changed['id']}", headers=headers)
    assert ended.status_code == 200
    assert ended.json()["valid_to"] is not None
    entries = AuditEntry.objects.filter(action__startswith="price.")
    assert entries.count() == 3
    assert all(entry.actor_label.startswith("key ") for entry in entries)


def test_reading_needs_the_scope_read_and_writing_the_scope_prices(client, cast):
    reader, ingester = (bearer(make_key(cast.support, scope)[1]) for scope in ("read", "ingest"))
    assert client.get(PRICES, headers=reader).status_code == 200
    refused = add(client, reader)
    assert refused.status_code == 403
    assert "prices" in refused.json()["error"]["message"]
    assert client.get(PRICES, headers=ingester).status_code == 403
    assert client.get(PRICES).status_code == 401


def test_other_teams_and_common_prices_cannot_be_touched(client, cast, headers):
    rates = Rates(input_mtok=Decimal(1))
    start = timezone.now() - timedelta(days=1)
    theirs = add_price(author=SYSTEM, team=cast.search, provider="p", model="m", rates=rates, valid_from=start)
    common = add_price(author=SYSTEM, team=None, provider="p", model="m", rates=rates, valid_from=start)
    for one in (theirs, common):
        assert client.delete(f"{PRICES}/{one.pk}", headers=headers).status_code == 404
        body = {"input_mtok": "9"}
        response = client.patch(f"{PRICES}/{one.pk}", body, content_type="application/json", headers=headers)
        assert response.status_code == 404
    assert [one["id"] for one in client.get(PRICES, headers=headers).json()] == [common.pk]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"input_mtok": "-1"}, "input_mtok"),
        ({"input_mtok": "NaN"}, "input_mtok"),
        ({"input_mtok": "1e40"}, "input_mtok"),
        ({"input_mtok": None, "output_mtok": None}, "input_mtok"),
        ({"valid_to": "2020-01-01T00:00:00Z"}, "valid_to"),
        ({"valid_from": "yesterday"}, "valid_from"),
        ({"model": ""}, "model"),
        ({"model": "a\0b"}, "model"),
    ],
)
def test_mistakes_are_named_by_field(client, headers, changes, field):
    refused = add(client, headers, **changes)
    assert refused.status_code == 400
    assert refused.json()["error"]["field"] == field
    assert not Price.objects.exists()


def test_overlapping_dates_are_refused(client, headers):
    add(client, headers)
    refused = add(client, headers, valid_from="2026-11-05T00:00:00Z")
    assert refused.status_code == 400
    assert refused.json()["error"]["field"] == "valid_from"


def test_history_is_re_priced_on_request(client, cast, headers):
    body = {"provider": "vllm", "model": "llama-own", "start": "2026-11-01T00:00:00Z"}
    asked = client.post(REPRICINGS, body, content_type="application/json", headers=headers)
    assert asked.status_code == 202
    run = Repricing.objects.get()
    assert run.team == cast.support
    url = f"{REPRICINGS}/{run.pk}"
    assert client.get(url, headers=headers).json()["state"] == "waiting"
    other = bearer(make_key(cast.search, "read", "prices")[1])
    assert client.get(url, headers=other).status_code == 404
    assert client.delete(url, headers=other).status_code == 404
    assert client.delete(url, headers=headers).json()["state"] == "cancelled"


def test_a_window_in_the_future_is_refused(client, headers):
    body = {"model": "m", "start": (timezone.now() + timedelta(days=1)).isoformat()}
    refused = client.post(REPRICINGS, body, content_type="application/json", headers=headers)
    assert refused.status_code == 400
    assert refused.json()["error"]["field"] == "start"
