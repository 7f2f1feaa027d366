"""The split of a change in spend: exact, symmetric, and right about what moved."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from usage.rules.effects import Effects, Usage, split, total

money = st.decimals(min_value=0, max_value=10**9, places=12, allow_nan=False, allow_infinity=False)
usages = st.builds(Usage, cost=money, calls=st.integers(0, 10**9), tokens=st.integers(0, 10**13))


def exact_change(before: Usage, after: Usage) -> Decimal:
    return after.cost - before.cost  # at most 21 digits: within the default precision


@given(usages, usages)
def test_parts_sum_to_the_change_to_the_last_pico_dollar(before, after):
    assert split(before, after).change == exact_change(before, after)


@given(usages, usages)
def test_swapping_the_periods_flips_every_sign(before, after):
    there, back = split(before, after), split(after, before)
    flipped = [amount.copy_negate() for amount in (back.volume, back.tokens, back.price)]  # "-" would round
    assert [there.volume, there.tokens, there.price] == flipped


@given(usages)
def test_equal_periods_have_no_effects(usage):
    effects = split(usage, usage)
    assert effects == Effects() and effects.largest == ""


@given(st.lists(st.tuples(usages, usages), max_size=20))
def test_the_total_of_groups_is_the_change_of_their_total(pairs):
    parts = total(split(before, after) for before, after in pairs)
    whole = sum((a for _, a in pairs), Usage()).cost - sum((b for b, _ in pairs), Usage()).cost
    assert parts.change == whole


@given(usages.filter(lambda u: u.calls and u.tokens and u.cost), st.integers(2, 9))
def test_only_the_factor_that_moved_has_an_effect(usage, times):
    more_calls = Usage(usage.cost * times, usage.calls * times, usage.tokens * times)
    more_tokens = Usage(usage.cost * times, usage.calls, usage.tokens * times)
    dearer = Usage(usage.cost * times, usage.calls, usage.tokens)
    change = usage.cost * (times - 1)
    assert split(usage, more_calls) == Effects(volume=change)
    assert split(usage, more_tokens) == Effects(tokens=change)
    assert split(usage, dearer) == Effects(price=change)


def test_a_new_or_vanished_group_is_all_volume():
    usage = Usage(Decimal("12.5"), 10, 4_000)
    assert split(Usage(), usage) == Effects(volume=Decimal("12.5"))
    assert split(usage, Usage()) == Effects(volume=Decimal("-12.5"))


def test_calls_billed_by_the_piece_have_no_token_effect():
    effects = split(Usage(Decimal(10), 10, 0), Usage(Decimal(30), 20, 0))
    assert effects == Effects(volume=Decimal("12.5"), price=Decimal("7.5"))


def test_a_worked_example():
    # 100 calls of 1,000 tokens at $2 per million, then 150 calls of 2,000 tokens at $1 per million.
    effects = split(Usage(Decimal("0.2"), 100, 100_000), Usage(Decimal("0.3"), 150, 300_000))
    # volume: 50 × [(1000·2 + 2000·1)/3 + (1000·1 + 2000·2)/6] / 10^6
    assert effects.volume == Decimal("0.108333333333")
    assert effects.tokens == Decimal("0.183333333333")
    assert effects.price == Decimal("-0.191666666666")
    assert effects.largest == "price"
