"""The streaming detector: what it calls strange, what it takes for normal, and that its state is all it needs."""

import math
from random import Random

import numpy as np
import pytest

from budgets.rules.anomaly import Detector, Settings
from budgets.rules.band import BandModel
from budgets.rules.novelty import Sketch, nearest_in_phase, nearest_shape, nearest_value

HOUR = 3600.0
WEEK = 168


def rhythm(hours: int, seed: int = 7, noise: float = 0.06) -> list[float]:
    """USD an hour of a team at work: office hours, quiet week-ends, a little noise."""
    random = Random(seed)
    shape = [1 + 4 * math.exp(-(((hour % 24) - 13) ** 2) / 18) for hour in range(24)]
    return [
        10 * shape[hour % 24] * (0.45 if hour // 24 % 7 > 4 else 1) * (1 + random.gauss(0, noise))
        for hour in range(hours)
    ]


def run(values, detector=None, begin=0):
    detector = detector or Detector()
    return [detector.update((begin + n) * HOUR, value) for n, value in enumerate(values)]


def flagged(values):
    return [n for n, verdict in enumerate(run(values)) if verdict.flag]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_daily_and_weekly_rhythm_is_no_anomaly(seed):
    assert len([n for n in flagged(rhythm(8 * WEEK, seed)) if n > 3 * WEEK]) <= 1


def test_a_spike_is_flagged_at_its_first_point_and_once():
    values = rhythm(5 * WEEK)
    at = 4 * WEEK + 30
    values[at : at + 6] = [3 * value for value in values[at : at + 6]]
    assert [n for n in flagged(values) if at <= n < at + 16] == [at]


def test_the_busy_level_at_a_quiet_hour_is_flagged():
    values = rhythm(5 * WEEK)
    at = 4 * WEEK + 27  # three in the morning
    values[at : at + 3] = [45.0, 45.0, 45.0]
    assert at in flagged(values)


def test_a_level_shift_fires_and_then_becomes_normal():
    values = rhythm(12 * WEEK)
    at = 5 * WEEK
    values[at:] = [2.2 * value for value in values[at:]]
    found = flagged(values)
    assert any(at <= n <= at + 12 for n in found)
    assert len([n for n in found if n > 8 * WEEK]) <= 2


def test_a_fall_is_flagged_too():
    values = rhythm(5 * WEEK)
    at = 4 * WEEK + 35
    values[at : at + 4] = [0.0] * 4
    assert at in flagged(values)


def test_a_gap_is_neither_scored_nor_learnt_as_zero():
    values = rhythm(6 * WEEK)
    at = 4 * WEEK + 34
    holed = [*values[:at], *[None] * 30, *values[at + 30 :]]
    verdicts = run(holed)
    assert all(verdict.score == 0 for verdict in verdicts[at : at + 30])
    assert [n for n, v in enumerate(verdicts) if v.flag and n >= at] == [n for n in flagged(values) if n >= at + 30]


def test_a_verdict_uses_no_later_point():
    values = rhythm(4 * WEEK)
    assert run(values[: 3 * WEEK]) == run(values)[: 3 * WEEK]


def test_judging_changes_nothing():
    values = rhythm(3 * WEEK)
    asked, plain = Detector(), Detector()
    run(values, asked), run(values, plain)
    asked.judge(3 * WEEK * HOUR, 500.0)
    assert asked.state() == plain.state()


def test_a_detector_restored_goes_on_as_if_nothing_had_happened():
    values = rhythm(6 * WEEK)
    values[5 * WEEK] *= 4
    whole, first = run(values), Detector()
    before = run(values[: 4 * WEEK], first)
    after = run(values[4 * WEEK :], Detector.restored(first.state()), begin=4 * WEEK)
    assert before + after == whole


def test_memory_is_bounded():
    detector = Detector(Settings(memory=300))
    run(rhythm(10 * WEEK), detector)
    assert len(detector.history) == 300 and len(detector.state()["history"]) == 4 * 300


def test_a_constant_series_is_quiet_until_it_moves():
    assert flagged([46.0] * 400 + [46.5] + [46.0] * 100) == [400]


def bands(values):
    model, found = BandModel(), []
    for value in values:
        found.append(model.expect())
        model.learn(value)
    return found


def test_the_band_follows_the_week():
    values = rhythm(6 * WEEK, noise=0.03)
    found = bands(values)
    inside = [band.holds(value) for band, value in zip(found[4 * WEEK :], values[4 * WEEK :], strict=True)]
    assert sum(inside) / len(inside) > 0.9
    saturday, monday = found[5 * WEEK + 5 * 24 + 13], found[5 * WEEK + 13]
    assert saturday.middle == pytest.approx(22.5, rel=0.15) and monday.middle == pytest.approx(50, rel=0.15)
    assert monday.high < 75


def test_the_first_points_have_no_band():
    assert bands([1.0, 2.0]) == [None, None]


def test_distances_ignore_what_is_unknown():
    history = np.array([1, np.nan, 4, 9], dtype=np.float32)
    assert nearest_value(history, 5) == 1
    assert nearest_value(history[1:2], 5) is None


def test_the_shape_is_compared_with_runs_that_ended_before_it():
    history = np.array([0, 1, 2, 3, 0, 1], dtype=np.float32)
    assert nearest_shape(history, 2.0, 3) == 0
    assert nearest_shape(history[:4], 2.0, 3) is None


def test_the_same_time_of_day_is_what_counts_in_phase():
    history = np.array([9, 1, 1, 1] * 9, dtype=np.float32)
    assert nearest_in_phase(history, 1.0, day=4, days=3) == 8
    assert nearest_in_phase(history[:28], 1.0, day=4, days=3) is None


def test_the_sketch_knows_quantiles_within_five_per_cent():
    sketch = Sketch(1000)
    for number in range(1, 901):
        sketch.add(number)
    assert sketch.quantile(0.5) == pytest.approx(450, rel=0.05)
    assert sketch.ratio(0.0, 0.5) == 0
