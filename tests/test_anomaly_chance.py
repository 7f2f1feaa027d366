"""How far a sum is from what was expected: by chance alone, in groups, in money, and where events are rare."""

import math
from random import Random

import pytest

from budgets.rules.band import BandModel
from budgets.rules.scatter import Scatter


def learnt(values, middle):
    scatter = Scatter()
    for value in values:
        scatter.learn(value, value - middle)
    return scatter


def poisson(random, mean):
    count, product = 0, random.random()
    while product > math.exp(-mean):
        count, product = count + 1, product * random.random()
    return count


@pytest.fixture
def counts():
    random = Random(3)
    return [poisson(random, 9) for _ in range(600)]


def test_independent_events_come_one_by_one(counts):
    assert learnt(counts, 9).lump(1.0) == pytest.approx(1, abs=0.15)


def test_events_that_come_in_threes_vary_as_such(counts):
    scatter = learnt([3 * count for count in counts], 27)
    assert scatter.lump(1.0) == pytest.approx(3, rel=0.15)
    assert scatter.sigmas(57, 27, 1.0) < 5 < learnt(counts, 9).sigmas(33, 9, 1.0)


def test_money_is_measured_in_what_a_call_costs(counts):
    scatter = learnt([0.002 * count for count in counts], 0.018)
    assert scatter.lump(0.0) == pytest.approx(0.002, rel=0.15)
    assert scatter.sigmas(0.058, 0.018) == pytest.approx(learnt(counts, 9).sigmas(29, 9), rel=0.01)


def test_the_root_of_the_mean_is_its_limit_for_large_sums():
    assert Scatter(square=1e6, mean=1e6, seen=500).sigmas(1_003_000, 1e6) == pytest.approx(3, rel=0.01)


def test_one_event_is_chance_where_there_were_none_and_four_in_an_hour_are_not():
    never = learnt([0.0] * 400, 0.0)
    assert never.sigmas(1, 0.0, 1.0) < 5 < never.sigmas(4, 0.0, 1.0)


def test_a_median_of_zero_says_little_of_events_that_are_rare_not_absent():
    rare = learnt([1.0, 0.0, 0.0, 0.0] * 100, 0.0)
    assert rare.sigmas(4, 0.0, 1.0) < 5 < learnt([0.0] * 400, 0.0).sigmas(4, 0.0, 1.0)


def test_silence_is_no_chance_where_many_were_expected(counts):
    scatter = learnt(counts, 9)
    assert scatter.sigmas(0, 9, 1.0) < 5 < scatter.sigmas(0, 30, 1.0)


def test_what_never_varied_cannot_have_moved_by_chance():
    assert learnt([4.0] * 50, 4.0).sigmas(4.1, 4.0) == math.inf
    assert Scatter().sigmas(1.0, 0.0) == math.inf


def test_a_band_kept_before_scatter_was_learnt_still_opens():
    model = BandModel()
    for value in range(80):
        model.learn(value % 24)
    state = model.state()
    assert BandModel.restored(state).scatter == model.scatter != Scatter()
    del state["scatter"]
    assert BandModel.restored(state).scatter == Scatter()
