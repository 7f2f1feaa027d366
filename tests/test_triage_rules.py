"""Pure decisions of triage: how strongly signals moved, what a score is made of, where the badness lies."""

import pytest

from incidents.models import FailureMode
from incidents.rules.triage.modes import BY_MODE
from incidents.rules.triage.radius import radius
from incidents.rules.triage.signals import BY_NAME, Reading, likelihood_root, score, strength
from incidents.rules.triage.signs import told
from incidents.rules.triage.tables import Table

FAIL, TOKENS = BY_NAME["calls_fail"], BY_NAME["tokens"]
DIMENSIONS = ("team", "feature", "provider", "model", "tool_name")


def table(now: dict[tuple[str, str], tuple[int, int]], usual: dict[tuple[str, str], tuple[int, int]]) -> Table:
    """(feature, provider) → (failed calls, calls), as a table."""
    sides = [
        {("t", feature, provider, "m", ""): list(counts) for (feature, provider), counts in side.items()}
        for side in (now, usual)
    ]
    return Table.of(DIMENSIONS, ("call_errors", "calls"), *sides)


def test_one_failure_of_five_calls_says_nothing():
    assert strength(FAIL, Reading(1, 5, 10, 1000)) == 0


def test_the_standard_score_of_two_shares_is_the_root_of_the_likelihood_ratio():
    # By hand: 2 (30 ln(30/20) + 70 ln(70/80) + 10 ln(10/20) + 90 ln(90/80)) = 12.97
    assert likelihood_root(Reading(30, 100, 10, 100)) == pytest.approx(3.6016, abs=0.001)
    assert likelihood_root(Reading(10, 100, 30, 100)) == pytest.approx(-3.6016, abs=0.001)


def test_a_sure_but_tiny_rise_says_nothing():
    assert score(FAIL, Reading(20_000, 1_000_000, 15_000, 1_000_000)) > 20
    assert strength(FAIL, Reading(20_000, 1_000_000, 15_000, 1_000_000)) == 0


def test_a_large_sure_rise_counts_in_full():
    assert strength(FAIL, Reading(300, 1000, 10, 1000)) == 1


def test_without_a_usual_figure_nothing_rose():
    assert score(FAIL, Reading(5, 10, 0, 0)) is None
    assert strength(FAIL, Reading(5, 10, 0, 0)) == 0


def test_a_shift_to_features_with_long_prompts_is_no_rise_of_tokens():
    usual = {("t", "short", "p", "m", ""): [1000, 10], ("t", "long", "p", "m", ""): [100_000, 10]}
    now = {("t", "short", "p", "m", ""): [100, 1], ("t", "long", "p", "m", ""): [900_000, 90]}
    shifted = Table.of(DIMENSIONS, ("total_tokens", "calls"), now, usual)
    assert strength(TOKENS, shifted.reading(TOKENS)) == 0


def test_the_blast_radius_is_the_smallest_set_and_says_what_is_not_hit():
    usual = {(f, p): (1, 200) for f in ("chat", "search") for p in ("openai", "anthropic")}
    now = {(f, p): (60 if p == "openai" else 1, 200) for f, p in usual}
    found = radius(FAIL, table(now, usual))
    assert found.values == {"provider": ["openai"]}
    assert found.share == pytest.approx(120 / 122)
    assert found.lift == pytest.approx(60)
    provider = next(one for one in found.dimensions if one.name == "provider")
    assert [place.value for place in provider.spared] == ["anthropic"]


def test_what_is_bad_everywhere_has_no_smaller_radius():
    usual = {(f, p): (1, 200) for f in ("chat", "search") for p in ("openai", "anthropic")}
    found = radius(FAIL, table(dict.fromkeys(usual, (60, 200)), usual))
    assert found.values == {} and found.inside.bad == 240


def test_every_mode_but_other_has_a_profile():
    assert set(BY_MODE) == set(FailureMode) - {FailureMode.OTHER}


def test_a_reading_is_told_with_its_usual_figure():
    assert told(FAIL, Reading(38, 100, 6, 1000)) == "38 % of 100 model calls fail, usually 0.6 %"
    assert told(TOKENS, Reading(700, 2, 200, 2)) == "350 tokens a model call, of 2, usually 100"
