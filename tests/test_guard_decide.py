"""What the guard decides: limits, estimates, cheaper ways, modes and switches."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from accounts.actions import Author
from budgets.guard import history
from budgets.models import Grant, GuardCount, Hold, OutputStatistic
from incidents.models import Control, ModePolicy
from tests.cast import make_key
from tests.guard import CALL, CALL_USD, ask, ledger, make_budget, mid_month, reserve, reserve_at
from tests.traffic import record
from usage.pricing.actions import Rates, add_price
from usage.rollups import drain

SYSTEM = Author(label="test")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_history():
    history.forget()


def control(kind: str, team=None, **more) -> Control:
    more = {"origin": "person", "reason": "provider trouble", "created_at": timezone.now()} | more
    return Control.objects.create(kind=kind, team=team, **more)


def test_a_call_that_fits_is_allowed_and_its_cost_held(client, cast, support_key):
    budget = make_budget(cast.support, "1")
    told = reserve(client, support_key)
    assert (told["decision"], told["mode"], told["model"], told["max_output_tokens"]) == (
        "allow",
        "normal",
        "gpt-4o",
        100,
    )
    assert told["estimate"]["cost_usd"] == "0.0035"
    assert ledger(budget) == (0, CALL_USD)


def test_the_headroom_says_limit_used_reserved_and_left(client, cast, support_key):
    make_budget(cast.support, "1")
    [room] = reserve(client, support_key)["headroom"]
    assert {name: room[name] for name in ("budget", "unit", "limit", "used", "reserved", "left")} == {
        "budget": "monthly",
        "unit": "USD",
        "limit": "1",
        "used": "0",
        "reserved": "0.0035",
        "left": "0.9965",
    }


def test_without_a_budget_everything_is_allowed_and_can_be_settled(client, support_key):
    told = reserve(client, support_key)
    assert (told["decision"], told["headroom"]) == ("allow", [])
    assert ask(client, support_key, "settle", reservation_id=told["reservation_id"], cost_usd="1")["state"] == "settled"


def test_a_hard_budget_denies_what_does_not_fit_and_says_when_it_begins_anew(client, cast, support_key):
    make_budget(cast.support, CALL_USD)
    reserve(client, support_key)
    told = reserve(client, support_key)
    assert (told["decision"], told["reason"]["code"], told["reservation_id"]) == ("deny", "budget_exhausted", None)
    assert "monthly" in told["reason"]["message"]
    assert told["retry_after"] > 0


def test_a_denial_is_counted_for_its_budget(client, cast, support_key):
    budget = make_budget(cast.support, "0.000001")
    reserve(client, support_key)
    counted = GuardCount.objects.get()
    assert (counted.budget_id, counted.decision, counted.code, counted.count) == (
        budget.pk,
        "deny",
        "budget_exhausted",
        1,
    )


def test_a_soft_budget_lets_calls_go_on_and_warns(client, cast, support_key):
    make_budget(cast.support, "0.000001", enforcement="soft")
    told = reserve(client, support_key)
    assert told["decision"] == "allow"
    assert [one["code"] for one in told["warnings"]] == ["soft_budget_exceeded"]


def test_a_check_holds_nothing(client, cast, support_key):
    budget = make_budget(cast.support, "1")
    told = ask(client, support_key, "check", **CALL)
    assert (told["decision"], told["reservation_id"]) == ("allow", None)
    assert (ledger(budget), Hold.objects.count()) == ((0, 0), 0)


def test_spend_without_the_guard_counts(client, cast, support_key):
    budget = make_budget(cast.support, "1", anchor=mid_month())
    record(cast.support, timezone.now() - timedelta(minutes=2), 3)
    drain()
    reserve(client, support_key)
    assert ledger(budget)[0] == 3 * Decimal("0.00325")


def test_a_budget_covers_its_slice_only(client, cast, support_key):
    make_budget(cast.support, "0.000001", feature="summaries", tenant="acme")
    assert reserve(client, support_key, feature="summaries")["decision"] == "allow"
    assert reserve(client, support_key, feature="summaries", tenant="acme")["decision"] == "deny"


def test_a_budget_of_the_organisation_binds_a_team_and_keeps_its_figures(client, cast, support_key):
    make_budget(None, "0.000001", name="whole company")
    told = reserve(client, support_key)
    assert told["decision"] == "deny"
    assert "whole company" not in str(told)
    assert (told["headroom"][0]["budget"], told["headroom"][0]["limit"]) == ("organisation", None)


def test_another_teams_budget_says_nothing(client, cast, support_key):
    make_budget(cast.search, "0.000001")
    assert reserve(client, support_key)["headroom"] == []


@pytest.mark.parametrize(("unit", "limit", "fits"), [("tokens", "1100", 1), ("requests", "2", 2)])
def test_tokens_and_requests_are_limited_too(client, cast, support_key, unit, limit, fits):
    make_budget(cast.support, limit, unit=unit)
    decisions = [reserve(client, support_key)["decision"] for _ in range(3)]
    assert decisions.count("allow") == fits


def test_a_grant_adds_room_while_it_is_valid(cast):
    key, _ = make_key(cast.support)
    now = timezone.now()
    budget = make_budget(cast.support, CALL_USD)
    Grant.objects.create(
        budget=budget,
        amount=CALL_USD,
        valid_from=now - timedelta(hours=1),
        expires_at=now + timedelta(hours=1),
        reason="launch",
    )
    assert [reserve_at(key, now)["decision"] for _ in range(3)] == ["allow", "allow", "deny"]


def test_an_edit_of_the_limit_counts_at_the_next_call(client, cast, support_key):
    budget = make_budget(cast.support, CALL_USD)
    reserve(client, support_key)
    budget.limit = 2 * CALL_USD
    budget.save()
    assert [reserve(client, support_key)["decision"] for _ in range(2)] == ["allow", "deny"]


def test_a_lowered_limit_keeps_open_holds_and_denies_more(client, cast, support_key):
    budget = make_budget(cast.support, "1")
    held = reserve(client, support_key)
    budget.limit = CALL_USD / 2
    budget.save()
    assert reserve(client, support_key)["decision"] == "deny"
    ask(client, support_key, "settle", reservation_id=held["reservation_id"], cost_usd="0.003")
    assert ledger(budget) == (Decimal("0.003"), 0)


def test_a_budget_that_counts_something_else_begins_anew(client, cast, support_key):
    budget = make_budget(cast.support, "1")
    reserve(client, support_key)
    budget.feature = "answers"
    budget.save()
    reserve(client, support_key, feature="answers")
    assert ledger(budget) == (0, CALL_USD)


# --- Estimates ---------------------------------------------------------------------------------------------------
def test_without_max_output_tokens_the_teams_own_history_is_the_estimate(client, cast, support_key):
    OutputStatistic.objects.create(
        team=cast.support, feature="answers", model="gpt-4o", p95=250, calls=100, measured_at=timezone.now()
    )
    told = reserve(client, support_key, feature="answers", max_output_tokens=None)
    assert (told["estimate"]["output_tokens"], told["estimate"]["output_tokens_from"]) == (250, "history")
    assert told["max_output_tokens"] is None


def test_without_history_the_estimate_is_the_default(client, support_key):
    told = reserve(client, support_key, max_output_tokens=None)
    assert told["estimate"]["output_tokens"] == history.DEFAULT_OUTPUT_TOKENS
    assert told["estimate"]["output_tokens_from"] == "default"


def test_history_is_measured_from_the_teams_successful_calls(cast):
    now = timezone.now()
    for number in range(20):
        record(cast.support, now - timedelta(minutes=5, seconds=number), output_tokens=10 * (number + 1))
    record(cast.support, now - timedelta(minutes=4), 5, output_tokens=9_000, status="error")
    history.measure(now)
    assert history.expected_output(cast.support.pk, "answers", "gpt-4o") == (190, "history")
    assert history.expected_output(cast.search.pk, "answers", "gpt-4o").source == "default"


def test_the_callers_own_cost_is_the_estimate(client, cast, support_key):
    budget = make_budget(cast.support, "1")
    body = {"model": "house-model", "cost_usd": "0.25"}
    assert ask(client, support_key, "reserve", **body)["estimate"]["cost_usd"] == "0.25"
    assert ledger(budget)[1] == Decimal("0.25")


def test_an_unpriced_model_is_denied_by_a_hard_budget(client, cast, support_key):
    make_budget(cast.support, "1")
    told = reserve(client, support_key, model="house-model")
    assert (told["decision"], told["reason"]["code"], told["estimate"]["cost_usd"]) == ("deny", "unpriced_model", None)


def test_an_unpriced_model_is_allowed_by_a_soft_budget_and_its_cost_stays_unknown(client, cast, support_key):
    budget = make_budget(cast.support, "1", enforcement="soft")
    told = reserve(client, support_key, model="house-model")
    assert (told["decision"], told["estimate"]["cost_usd"]) == ("allow", None)
    assert [one["code"] for one in told["warnings"]] == ["unpriced_model"]
    closed = ask(client, support_key, "settle", reservation_id=told["reservation_id"], output_tokens=5)
    assert (closed["cost_usd"], ledger(budget)) == (None, (0, 0))


def test_a_price_that_changes_is_in_the_next_estimate_and_open_holds_keep_theirs(client, cast, support_key):
    budget = make_budget(cast.support, "1")
    held = reserve(client, support_key)
    add_price(
        author=SYSTEM,
        team=None,
        provider="openai",
        model="gpt-4o",
        rates=Rates(input_mtok=Decimal(20), output_mtok=Decimal(20)),
        valid_from=timezone.now() - timedelta(minutes=1),
    )
    assert reserve(client, support_key)["estimate"]["cost_usd"] == "0.022"
    ask(client, support_key, "release", reservation_id=held["reservation_id"])
    assert ledger(budget) == (0, Decimal("0.022"))


# --- Cheaper ways ------------------------------------------------------------------------------------------------
def test_a_call_that_does_not_fit_is_cut_to_what_is_left(client, cast, support_key):
    make_budget(cast.support, "0.003")
    told = reserve(client, support_key)
    assert (told["decision"], told["max_output_tokens"], told["estimate"]["cost_usd"]) == ("degrade", 50, "0.003")


def test_an_answer_is_not_cut_to_less_than_a_quarter(client, cast, support_key):
    make_budget(cast.support, "0.0027")
    assert reserve(client, support_key)["decision"] == "deny"


def test_a_cheaper_model_of_the_policy_is_taken_when_it_fits_at_its_own_price(client, cast, support_key):
    budget = make_budget(cast.support, "0.001")
    ModePolicy.objects.create(mode="conserve", model_map={"gpt-4o": "gpt-4o-mini"})
    told = reserve(client, support_key)
    assert (told["decision"], told["model"], told["reason"]["code"]) == ("degrade", "gpt-4o-mini", "budget_exhausted")
    assert ledger(budget)[1] == Decimal("0.00021")


def test_a_cheaper_model_that_does_not_fit_either_is_not_taken(client, cast, support_key):
    make_budget(cast.support, "0.0001")
    ModePolicy.objects.create(mode="conserve", model_map={"gpt-4o": "gpt-4o-mini"})
    assert reserve(client, support_key)["decision"] == "deny"


def test_a_budget_of_the_asked_model_does_not_bind_the_cheaper_one(client, cast, support_key):
    budget = make_budget(cast.support, "0.000001", model="gpt-4o")
    ModePolicy.objects.create(team=cast.support, feature="answers", mode="conserve", model_map={"*": "gpt-4o-mini"})
    told = reserve(client, support_key, feature="answers")
    assert (told["decision"], told["model"], told["headroom"]) == ("degrade", "gpt-4o-mini", [])
    assert ledger(budget) == (0, 0)


# --- Controls ----------------------------------------------------------------------------------------------------
def test_conserve_mode_gives_its_policys_model_limits_and_tools(client, cast, support_key):
    control("mode", cast.support, mode="conserve")
    ModePolicy.objects.create(
        mode="conserve", max_output_tokens=60, max_context_tokens=800, top_k=3, model_map={"*": "gpt-4o-mini"},
        tools_off=["browser"],
    )  # fmt: skip
    told = reserve(client, support_key, tools=["browser", "calculator"])
    assert (told["decision"], told["mode"], told["model"], told["reason"]["code"]) == (
        "degrade",
        "conserve",
        "gpt-4o-mini",
        "mode_conserve",
    )
    assert (told["max_output_tokens"], told["max_context_tokens"], told["top_k"]) == (60, 800, 3)
    assert told["tools_off"] == ["browser"]


def test_the_strictest_mode_wins(client, cast, support_key):
    control("mode", None, mode="conserve")
    control("mode", cast.support, mode="blocked", feature="answers")
    assert reserve(client, support_key, feature="answers")["reason"]["code"] == "blocked"
    assert reserve(client, support_key, feature="search")["mode"] == "conserve"


def test_a_control_that_expired_or_ended_says_nothing(cast):
    key, _ = make_key(cast.support)
    now = timezone.now()
    control("kill_switch", created_at=now - timedelta(hours=2), expires_at=now + timedelta(minutes=1))
    assert reserve_at(key, now)["reason"]["code"] == "kill_switch"
    assert reserve_at(key, now + timedelta(minutes=2))["decision"] == "allow"
    Control.objects.update(ended_at=now)
    assert reserve_at(key, now)["decision"] == "allow"


@pytest.mark.parametrize("kind", ["kill_switch", "breaker"])
def test_a_switch_denies_and_says_why_and_for_how_long(client, cast, support_key, kind):
    control(kind, expires_at=timezone.now() + timedelta(seconds=90))
    told = reserve(client, support_key)
    assert (told["decision"], told["reason"]["code"]) == ("deny", kind)
    assert "provider trouble" in told["reason"]["message"]
    assert 80 <= told["retry_after"] <= 90


def test_a_kill_switch_of_a_tool_takes_the_tool_only(client, cast, support_key):
    control("kill_switch", cast.support, tool_name="browser")
    told = reserve(client, support_key, tools=["browser", "calculator"])
    assert (told["decision"], told["tools_off"], told["reason"]["code"]) == ("degrade", ["browser"], "tools_off")
    assert reserve(client, support_key, tools=["calculator"])["decision"] == "allow"


def test_a_failover_gives_the_first_provider_that_is_not_stopped(client, cast, support_key):
    control("failover", failover_order=["openai", "azure", "aws"])
    control("breaker", provider="openai")
    told = reserve(client, support_key)
    assert (told["decision"], told["provider"], told["reason"]["code"]) == ("degrade", "azure", "failover")


def test_a_failover_may_name_the_model_to_use_there_which_is_priced_as_itself(client, cast, support_key):
    make_budget(cast.support, "10")
    control("failover", provider="openai", failover_order=["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"])
    told = reserve(client, support_key)
    assert (told["provider"], told["model"], told["reason"]["code"]) == ("openai", "gpt-4o-mini", "failover")
    control("breaker", provider="openai")
    told = reserve(client, support_key)
    assert (told["decision"], told["provider"], told["model"]) == ("degrade", "anthropic", "claude-sonnet-4-5")
    assert told["estimate"]["cost_usd"] == "0.0045"


def test_a_stopped_provider_without_another_is_denied(client, cast, support_key):
    control("breaker", provider="openai")
    assert reserve(client, support_key)["reason"]["code"] == "provider_stopped"


def test_a_throttle_slows_its_queue_class_only(client, cast, support_key):
    control("throttle", queue_class="batch", requests_per_minute=2)
    assert [reserve(client, support_key, queue_class="batch")["decision"] for _ in range(3)] == [
        "allow",
        "allow",
        "deny",
    ]
    assert reserve(client, support_key)["decision"] == "allow"


def test_a_throttle_of_zero_stops_its_queue_class(client, cast, support_key):
    control("throttle", queue_class="backfill", requests_per_minute=0)
    assert reserve(client, support_key, queue_class="backfill")["reason"]["code"] == "requests_per_minute"


def test_a_budget_that_is_deleted_before_its_period_opens_is_forgotten(cast):
    key, _ = make_key(cast.support)
    now = timezone.now()
    budget = make_budget(None, "1", period="hour")
    assert reserve_at(key, now)["headroom"] != []
    budget.delete()
    connection.check_constraints()
    assert reserve_at(key, now + timedelta(hours=1))["headroom"] == []
    connection.check_constraints()
