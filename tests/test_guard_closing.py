"""The end of a reservation: settled, released, extended, expired; idempotency, batches and bad input."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.actions import revoke_api_key
from budgets.guard import closing
from budgets.guard.requests import Settle
from budgets.models import BudgetPeriod, Hold
from tests.cast import bearer, make_key
from tests.guard import CALL, CALL_USD, ask, ledger, make_budget, reserve, reserve_at

pytestmark = pytest.mark.django_db


@pytest.fixture
def budget(cast):
    return make_budget(cast.support, "1")


def test_settling_books_the_cost_and_gives_the_rest_back(client, budget, support_key):
    held = reserve(client, support_key)
    told = ask(client, support_key, "settle", reservation_id=held["reservation_id"], cost_usd="0.001")
    assert (told["state"], told["cost_usd"], told["cost_from"], told["overrun_usd"]) == (
        "settled",
        "0.001",
        "settle",
        "0",
    )
    assert ledger(budget) == (Decimal("0.001"), 0)


def test_tokens_are_priced_as_the_model_that_ran(client, budget, support_key):
    held = reserve(client, support_key)
    body = {"model": "gpt-4o-mini", "provider": "openai", "input_tokens": 1000, "output_tokens": 100}
    told = ask(client, support_key, "settle", reservation_id=held["reservation_id"], **body)
    assert told["cost_usd"] == "0.00021"


def test_an_overrun_is_booked_in_full_and_shown(client, cast, support_key):
    budget = make_budget(cast.support, CALL_USD)
    held = reserve(client, support_key)
    told = ask(client, support_key, "settle", reservation_id=held["reservation_id"], cost_usd="0.5")
    assert told["overrun_usd"] == "0.4965"
    assert ledger(budget) == (Decimal("0.5"), 0)


def test_a_call_without_figures_is_booked_at_its_estimate(client, budget, support_key):
    held = reserve(client, support_key)
    told = ask(client, support_key, "settle", reservation_id=held["reservation_id"])
    assert (told["cost_usd"], told["cost_from"]) == ("0.0035", "estimate")
    assert ledger(budget) == (CALL_USD, 0)


def test_settling_again_changes_nothing(client, budget, support_key):
    held = reserve(client, support_key)
    for replayed in (False, True):
        told = ask(client, support_key, "settle", reservation_id=held["reservation_id"], cost_usd="0.001")
        assert told["replayed"] is replayed
    assert ledger(budget) == (Decimal("0.001"), 0)


def test_settling_with_other_figures_is_a_conflict(client, budget, support_key):
    held = reserve(client, support_key)
    ask(client, support_key, "settle", reservation_id=held["reservation_id"], cost_usd="0.001")
    told = ask(client, support_key, "settle", expect=409, reservation_id=held["reservation_id"], cost_usd="0.002")
    assert told["error"]["code"] == "settled_differently"
    assert ledger(budget) == (Decimal("0.001"), 0)


def test_releasing_gives_everything_back_once(client, budget, support_key):
    held = reserve(client, support_key)
    for _ in range(2):
        assert ask(client, support_key, "release", reservation_id=held["reservation_id"])["state"] == "released"
    assert ledger(budget) == (0, 0)


def test_what_was_settled_cannot_be_released(client, budget, support_key):
    held = reserve(client, support_key)
    ask(client, support_key, "settle", reservation_id=held["reservation_id"], cost_usd="0.001")
    assert ask(client, support_key, "release", expect=409, reservation_id=held["reservation_id"])["error"]["code"] == (
        "already_settled"
    )


def test_what_ran_after_a_release_is_booked_all_the_same(client, budget, support_key):
    held = reserve(client, support_key)
    ask(client, support_key, "release", reservation_id=held["reservation_id"])
    ask(client, support_key, "settle", reservation_id=held["reservation_id"], cost_usd="0.001")
    assert ledger(budget) == (Decimal("0.001"), 0)


def test_extending_moves_the_end(client, budget, support_key):
    held = reserve(client, support_key, ttl_seconds=10)
    told = ask(client, support_key, "extend", reservation_id=held["reservation_id"], ttl_seconds=600)
    assert told["expires_at"] > held["expires_at"]


def test_what_expired_cannot_be_extended(cast, client, support_key, budget):
    key, text = make_key(cast.support)
    held = reserve_at(key, timezone.now() - timedelta(hours=1))
    told = ask(client, text, "extend", expect=409, reservation_id=held["reservation_id"])
    assert told["error"]["code"] == "not_open"


def test_an_expired_hold_makes_room_without_any_worker(cast):
    key, _ = make_key(cast.support)
    budget = make_budget(cast.support, CALL_USD)
    start = timezone.now()
    reserve_at(key, start, ttl_seconds=60)
    assert reserve_at(key, start + timedelta(seconds=59))["decision"] == "deny"
    assert reserve_at(key, start + timedelta(seconds=60))["decision"] == "allow"
    assert ledger(budget) == (0, 2 * CALL_USD)


def test_the_sweeper_gives_back_what_expired(cast, budget):
    key, _ = make_key(cast.support)
    start = timezone.now() - timedelta(hours=1)
    for ttl in (60, 60, 7200):
        reserve_at(key, start, ttl_seconds=ttl)
    assert closing.sweep() == 2
    assert closing.sweep() == 0
    assert ledger(budget) == (0, CALL_USD)
    assert sorted(Hold.objects.values_list("state", flat=True)) == ["expired", "expired", "open"]


def test_a_late_settlement_of_an_expired_hold_is_booked_in_full(cast, budget):
    key, _ = make_key(cast.support)
    held = reserve_at(key, timezone.now() - timedelta(hours=1))
    closing.sweep()
    closing.settle(key, Settle(reservation_id=held["reservation_id"], cost_usd=Decimal("0.002")))
    assert ledger(budget) == (Decimal("0.002"), 0)


def test_a_hold_is_booked_in_the_period_it_was_made_in(cast):
    key, _ = make_key(cast.support)
    budget = make_budget(cast.support, "1", period="hour")
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    held = reserve_at(key, hour - timedelta(seconds=1))
    reserve_at(key, hour)
    closing.settle(key, Settle(reservation_id=held["reservation_id"], cost_usd=Decimal("0.002")))
    first, second = BudgetPeriod.objects.filter(budget=budget).order_by("starts_at")
    assert (first.used, first.reserved) == (Decimal("0.002"), 0)
    assert (second.used, second.reserved) == (0, CALL_USD)


def test_several_budgets_hold_the_same_call(client, cast, support_key):
    all_of_it, feature = make_budget(cast.support, "1"), make_budget(cast.support, "1", name="chat", feature="chat")
    held = reserve(client, support_key, feature="chat")
    assert ledger(all_of_it) == ledger(feature) == (0, CALL_USD)
    ask(client, support_key, "release", reservation_id=held["reservation_id"])
    assert ledger(all_of_it) == ledger(feature) == (0, 0)


# --- Who may, and what is refused ----------------------------------------------------------------------------------
def test_a_reservation_of_another_team_is_unknown(client, cast, support_key):
    held = reserve(client, support_key)
    _, theirs = make_key(cast.search)
    for operation in ("settle", "release", "extend"):
        told = ask(client, theirs, operation, expect=404, reservation_id=held["reservation_id"])
        assert told["error"]["code"] == "unknown_reservation"


def test_a_key_without_the_scope_may_not_ask(client, cast):
    _, text = make_key(cast.support, "read")
    assert ask(client, text, "reserve", expect=403, **CALL)["error"]["code"] == "wrong_scope"


def test_a_revoked_key_stops_at_once(client, cast):
    key, text = make_key(cast.support, "guard")
    reserve(client, text)
    revoke_api_key(key=key, actor=cast.tara)
    assert ask(client, text, "reserve", expect=401, **CALL)["error"]["code"] == "invalid_key"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"input_tokens": 5}, "model"),
        ({"model": "m"}, "input_tokens"),
        ({"model": "m", "input_tokens": "5"}, "input_tokens"),
        ({"model": "m", "input_tokens": -1}, "input_tokens"),
        ({"model": "m", "cost_usd": "-1"}, "cost_usd"),
        ({"model": "m", "cost_usd": "NaN"}, "cost_usd"),
        ({"model": "m", "input_tokens": 5, "ttl_seconds": 0}, "ttl_seconds"),
        ({"model": "m", "input_tokens": 5, "queue_class": "fast"}, "queue_class"),
        ({"model": "m", "input_tokens": 5, "modle": "x"}, "modle"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_refused_and_the_field_named(client, support_key, body, field):
    told = ask(client, support_key, "reserve", expect=400, **body)
    assert told["error"]["field"] == field
    assert told["error"]["fix"]


@pytest.mark.parametrize("body", ["", "[", "[]", "null", '"x"', "\xff", "[" * 3000])
def test_a_body_that_is_no_request_is_refused(client, support_key, body):
    for operation in ("reserve", "settle", "batch"):
        answered = client.post(
            f"/api/v1/guard/{operation}", body.encode("latin-1"), content_type="application/json",
            headers=bearer(support_key),
        )  # fmt: skip
        assert answered.status_code == 400, (operation, answered.content)


# --- Once and only once --------------------------------------------------------------------------------------------
def test_the_same_idempotency_key_is_the_same_reservation(client, budget, support_key):
    first, second = (reserve(client, support_key, idempotency_key="call-1") for _ in range(2))
    assert (first["replayed"], second["replayed"]) == (False, True)
    assert first["reservation_id"] == second["reservation_id"]
    assert {name: first[name] for name in ("decision", "model", "max_output_tokens", "estimate", "expires_at")} == {
        name: second[name] for name in ("decision", "model", "max_output_tokens", "estimate", "expires_at")
    }
    assert ledger(budget) == (0, CALL_USD)


def test_an_idempotency_key_is_not_for_another_request(client, budget, support_key):
    reserve(client, support_key, idempotency_key="call-1")
    told = ask(client, support_key, "reserve", expect=409, **CALL | {"idempotency_key": "call-1", "input_tokens": 9})
    assert told["error"]["field"] == "idempotency_key"


def test_an_idempotency_key_of_another_team_is_another_key(client, cast, support_key):
    _, theirs = make_key(cast.search)
    first = reserve(client, support_key, idempotency_key="call-1")
    assert reserve(client, theirs, idempotency_key="call-1")["reservation_id"] != first["reservation_id"]


# --- Batches ---------------------------------------------------------------------------------------------------------
def test_a_batch_answers_each_by_itself(client, cast, support_key):
    budget = make_budget(cast.support, 2 * CALL_USD)
    asked = [{"op": "reserve", **CALL}, {"op": "dance"}, *[{"op": "reserve", **CALL}] * 2]
    asked += [{"op": "settle", "reservation_id": "0" * 36}, {"op": "check", "model": "m"}]
    results = ask(client, support_key, "batch", requests=asked)["results"]
    assert [one["status"] for one in results] == [200, 400, 200, 200, 400, 400]
    assert [one.get("decision") for one in results] == ["allow", None, "allow", "deny", None, None]
    assert ledger(budget) == (0, 2 * CALL_USD)


def test_a_batch_of_more_than_a_hundred_is_refused(client, support_key):
    told = ask(client, support_key, "batch", expect=400, requests=[{"op": "check", **CALL}] * 101)
    assert told["error"]["field"] == "requests"


def test_a_denial_with_a_known_end_has_the_header(client, cast, support_key):
    make_budget(cast.support, "0.000001", period="hour")
    answered = client.post(
        "/api/v1/guard/reserve", json.dumps(CALL), content_type="application/json", headers=bearer(support_key)
    )
    assert (answered.status_code, 0 < int(answered["Retry-After"]) <= 3600) == (200, True)


def test_a_body_that_is_too_large_is_refused_for_a_known_key_too(client, support_key):
    for _ in range(2):
        body = json.dumps(CALL | {"feature": "x" * 1_100_000})
        answered = client.post(
            "/api/v1/guard/reserve", body, content_type="application/json", headers=bearer(support_key)
        )
        assert (answered.status_code, answered.json()["error"]["code"]) == (413, "body_too_large")


def test_another_method_is_refused_for_a_known_key_too(client, support_key):
    reserve(client, support_key)
    answered = client.get("/api/v1/guard/reserve", headers=bearer(support_key))
    assert (answered.status_code, answered.json()["error"]["code"]) == (405, "method_not_allowed")


def test_parts_larger_than_their_whole_are_refused_as_in_events(client, budget, support_key):
    held = reserve(client, support_key)["reservation_id"]
    used = {"input_tokens": 10, "cached_input_tokens": 8, "cache_write_tokens": 3, "output_tokens": 5}
    told = ask(client, support_key, "settle", 400, reservation_id=held, **used)["error"]
    assert (told["code"], told["field"]) == ("more_than_whole", "cached_input_tokens")
    told = ask(client, support_key, "settle", 400, reservation_id=held, output_tokens=5, reasoning_tokens=6)["error"]
    assert told["field"] == "reasoning_tokens"
    assert ledger(budget) == (0, CALL_USD)


def test_an_empty_body_is_called_empty(client, budget, support_key):
    answered = client.post("/api/v1/guard/reserve", b" ", content_type="application/json", headers=bearer(support_key))
    assert (answered.status_code, answered.json()["error"]["message"]) == (400, "The body is empty.")


def test_a_text_that_cannot_be_stored_is_named(client, budget, support_key):
    told = ask(client, support_key, "check", 400, **CALL | {"tenant": "a\0b"})["error"]
    assert (told["code"], told["field"]) == ("unstorable", "tenant")
