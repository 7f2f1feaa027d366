"""What a call costs: exact, agreeing with genai-prices, and never a guess."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given
from hypothesis import strategies as st

from usage.measures import COST_PRICED, COST_UNMETERED, COST_UNPRICED
from usage.pricing.catalogue import PROVIDERS, CatalogueModel, find
from usage.pricing.rates import BASE, Tokens, build_rate, per_mtok, price_call

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
UNIT = Decimal("1e-12")


def flat(input="2", cached=None, cache_write=None, output="10", reasoning=None, request="0"):
    def table(value):
        return None if value is None else {BASE: Decimal(value)}

    return build_rate(
        input=table(input),
        cached=table(cached),
        cache_write=table(cache_write),
        output=table(output),
        reasoning=table(reasoning),
        request_usd=Decimal(request),
    )


# Rates in USD per million: input 2, cached 0.5, cache write 2.5, output 10, reasoning 12.
# (input, cached, cache write, output, reasoning) → USD. PEERS 8: each token is charged once.
CONFORMANCE = [
    ("only fresh input", (1_000_000, 0, 0, 0, 0), "2"),
    ("cached is part of input, at its own rate", (1_000_000, 400_000, 0, 0, 0), "1.4"),
    ("all input cached", (1_000_000, 1_000_000, 0, 0, 0), "0.5"),
    ("cache write is part of input, at its own rate", (1_000_000, 0, 400_000, 0, 0), "2.2"),
    ("cached and cache write together", (1_000_000, 300_000, 200_000, 0, 0), "1.65"),
    ("only output", (0, 0, 0, 1_000_000, 0), "10"),
    ("reasoning is part of output, at its own rate", (0, 0, 0, 1_000_000, 250_000), "10.5"),
    ("all output reasoning", (0, 0, 0, 1_000_000, 1_000_000), "12"),
    ("everything", (1_000_000, 300_000, 200_000, 500_000, 100_000), "6.85"),
    ("nothing", (0, 0, 0, 0, 0), "0"),
]


@pytest.mark.parametrize(("name", "tokens", "usd"), CONFORMANCE, ids=[case[0] for case in CONFORMANCE])
def test_it_charges_each_token_once(name, tokens, usd):
    rate = flat(cached="0.5", cache_write="2.5", reasoning="12")
    assert rate.cost(*tokens) == Decimal(usd)


def test_a_missing_cached_or_cache_write_rate_is_the_input_rate_and_missing_reasoning_is_output():
    rate = flat()
    assert rate.cost(1_000_000, 400_000, 300_000, 0, 0) == 2
    assert rate.cost(0, 0, 0, 1_000_000, 600_000) == 10


def test_a_tier_holds_for_all_tokens_once_its_threshold_is_passed():
    rate = build_rate(input={BASE: Decimal(1), 200_000: Decimal(2)}, output={BASE: Decimal(10), 200_000: Decimal(15)})
    assert rate.cost(200_000, 0, 0, 1_000, 0) == Decimal("0.21")
    assert rate.cost(200_001, 0, 0, 1_000, 0) == Decimal("0.415002")


def test_sides_may_have_thresholds_of_their_own():
    rate = build_rate(input={BASE: Decimal(1), 100: Decimal(2)}, output={BASE: Decimal(10), 50: Decimal(20)})
    assert [band.above for band in rate.tiers] == [100, 50]
    assert rate.cost(60, 0, 0, 10, 0) == Decimal("0.00026")


def test_a_call_may_cost_by_itself():
    assert flat(request="0.005").cost(1_000_000, 0, 0, 0, 0) == Decimal("2.005")


def test_it_rounds_half_to_even_at_twelve_decimals():
    assert flat(input="0.0000005").cost_text(1, 0, 0, 0, 0) == "0.000000000000"
    assert flat(input="0.0000015").cost_text(1, 0, 0, 0, 0) == "0.000000000002"
    assert flat(input="0.000000500001").cost_text(1, 0, 0, 0, 0) == "0.000000000001"


def test_rates_read_back_as_they_were_given():
    assert per_mtok(flat(input="0.123456789").base.input) == Decimal("0.123456789")
    assert str(per_mtok(flat(input="30").base.input)) == "30"


tokens = st.integers(0, 2_000_000)
rates = st.decimals(0, 1000, places=9)


@given(rates, rates, rates, rates, rates, tokens, tokens, tokens, tokens, tokens)
def test_the_cost_is_the_exact_sum_of_its_parts(r1, r2, r3, r4, r5, fresh, cached, written, spoken, thought):
    rate = flat(str(r1), str(r2), str(r3), str(r4), str(r5))
    exact = (fresh * r1 + cached * r2 + written * r3 + spoken * r4 + thought * r5) / 1_000_000
    cost = rate.cost(fresh + cached + written, cached, written, spoken + thought, thought)
    assert abs(cost - exact) <= UNIT / 2


@given(tokens, tokens, tokens)
def test_more_tokens_never_cost_less_within_a_band(given_tokens, more, output):
    rate = flat(cached="0.5")
    assert rate.cost(given_tokens + more, 0, 0, output, 0) >= rate.cost(given_tokens, 0, 0, output, 0)


@pytest.mark.parametrize("at", [NOON, datetime(2025, 3, 1, 3, tzinfo=UTC)])
def test_it_agrees_with_genai_prices_on_every_model_of_the_catalogue(at):
    """Exactly the same semantics for text: the package too charges cached input that has no rate as input, and
    reasoning that has none as output. Left out are entries we hold unknown and the package makes 0 USD."""
    mixes = [(1000, 300, 200, 400, 100), (250_001, 100_000, 1, 9_000, 9_000), (7, 0, 0, 0, 0)]
    compared = 0
    for provider in PROVIDERS:
        for model in provider.models:
            rate = CatalogueModel(provider, model, listed=True).dated_rate("", at).rate
            for given_tokens, cached, written, output, reasoning in mixes if rate else ():
                usage = Usage(
                    input_tokens=given_tokens,
                    cache_read_tokens=cached,
                    cache_write_tokens=written,
                    output_tokens=output,
                    output_reasoning_tokens=reasoning,
                )
                theirs = model.calc_price(usage, provider, genai_request_timestamp=at).total_price
                assert abs(rate.cost(given_tokens, cached, written, output, reasoning) - theirs) <= UNIT, model.id
                compared += 1
    assert compared > 5000


@pytest.mark.parametrize("tier", ["batch", "priority"])
def test_it_agrees_with_genai_prices_on_service_tiers(tier):
    ours = find("openai", "gpt-5").dated_rate(tier, NOON).rate.cost(1000, 300, 0, 400, 100)
    context = {"processing": tier, "service_tier": tier}
    usage = Usage(input_tokens=1000, cache_read_tokens=300, output_tokens=400, output_reasoning_tokens=100)
    theirs = calc_price(
        usage, "gpt-5", provider_id="openai", genai_request_timestamp=NOON, price_context=context
    ).total_price
    assert abs(ours - theirs) <= UNIT


def test_no_price_makes_the_cost_unknown_not_zero():
    assert price_call(None, Tokens(input=10, output=5)) == (COST_UNPRICED, None)


def test_no_usage_makes_the_cost_unknown_not_zero():
    assert price_call(flat(), Tokens()) == (COST_UNMETERED, None)
    assert price_call(None, Tokens()) == (COST_UNMETERED, None)


def test_a_count_the_price_needs_and_the_client_left_out_makes_the_cost_unknown():
    assert price_call(flat(), Tokens(input=10)) == (COST_UNMETERED, None)
    assert price_call(flat(), Tokens(output=10)) == (COST_UNMETERED, None)
    assert price_call(flat(output="0"), Tokens(input=10)) == (COST_PRICED, "0.000020000000")


def test_a_price_per_call_needs_no_tokens():
    assert price_call(flat(input="0", output="0", request="0.002"), Tokens()) == (COST_PRICED, "0.002000000000")
