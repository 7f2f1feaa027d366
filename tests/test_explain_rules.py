"""Changes taken apart: parts sum exactly, in any order of the data, and the value that moved is the one named."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage.histogram import BOUNDS, middle
from usage.queries.explained import EXPLAINED
from usage.rules.explain import Cell, Cube, dimensions, novelties, smallest_set
from usage.rules.onset import Change, Point, onset, suspects
from usage.rules.slices import Counts, Slices

DIMENSIONS = ("feature", "model", "prompt_version")
START = datetime(2026, 11, 21, tzinfo=UTC)
amounts = st.integers(0, 10**24)
traffic = st.integers(0, 10**6)
keys = st.tuples(st.sampled_from("abcde"), st.sampled_from("mno"), st.sampled_from(["", "v1", "v2"]))
cells = st.lists(
    st.builds(Cell, keys, amounts, amounts, traffic, traffic, traffic, traffic), max_size=25, unique_by=lambda c: c.key
)


def cube_of(found: list[Cell], metric: str) -> Cube:
    kind = EXPLAINED[metric].kind
    return Cube(DIMENSIONS, found, "ratio" if kind == "percentile" else kind, EXPLAINED[metric].weigh)


def parts_of(slices: Slices) -> list:
    parts, rest = slices.split(smallest_set(slices.cube))
    return [*parts, rest]


def total(values) -> Decimal:
    return sum(map(Fraction, values), Fraction(0))


# --- Exactness ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("metric", ["spend", "tokens", "requests", "errors", "error_rate", "cost_per_request"])
@settings(max_examples=60)
@given(found=cells)
def test_parts_always_sum_to_the_change_exactly(metric, found):
    slices = Slices(EXPLAINED[metric], cube_of(found, metric))
    assert total(part.contribution for part in parts_of(slices)) == Fraction(slices.whole.contribution)
    if slices.change is not None:
        change = Fraction(slices.whole.now) - Fraction(slices.whole.before)
        rounded = Fraction(1, 10**11) if EXPLAINED[metric].kind == "ratio" else 0
        assert abs(Fraction(slices.change) - change) <= rounded


@pytest.mark.parametrize("metric", ["spend", "tokens", "errors", "error_rate", "cost_per_request"])
@settings(max_examples=60)
@given(found=cells)
def test_causes_always_sum_to_their_part_exactly(metric, found):
    for part in parts_of(Slices(EXPLAINED[metric], cube_of(found, metric))):
        assert total(part.effects.values()) == Fraction(part.contribution)


@pytest.mark.parametrize("metric", ["spend", "error_rate"])
@settings(max_examples=40)
@given(found=cells, limit=st.integers(0, 6))
def test_the_values_of_every_dimension_sum_to_the_change_exactly(metric, found, limit):
    slices = Slices(EXPLAINED[metric], cube_of(found, metric))
    for dimension in dimensions(slices.cube):
        parts, rest = slices.values(dimension.name, dimension.values, limit)
        assert total(part.contribution for part in (*parts, rest)) == Fraction(slices.whole.contribution)
        assert slices.remainder([*parts, rest]) == 0


@settings(max_examples=60)
@given(found=cells)
def test_a_ratio_s_pulls_sum_to_the_change_of_the_ratio(found):
    cube = cube_of(found, "error_rate")
    whole = cube.total
    if whole.base0 and whole.base1:
        change = Fraction(whole.value1, whole.base1) - Fraction(whole.value0, whole.base0)
        assert cube.contribution(range(len(found))) == change


@settings(max_examples=60)
@given(found=cells, metric=st.sampled_from(["spend", "error_rate"]))
def test_swapping_the_windows_flips_every_contribution(found, metric):
    swapped = [Cell(c.key, c.value1, c.value0, c.base1, c.base0, c.tokens1, c.tokens0) for c in found]
    there, back = cube_of(found, metric), cube_of(swapped, metric)
    if there.scale:
        assert [Fraction(p, there.scale) for p in there.pulls] == [-Fraction(p, back.scale) for p in back.pulls]


@settings(max_examples=60)
@given(found=cells, seed=st.integers(), metric=st.sampled_from(["spend", "errors", "error_rate"]))
def test_the_order_of_the_data_does_not_matter(found, seed, metric):
    shuffled = Random(seed).sample(found, len(found))
    one, other = (Slices(EXPLAINED[metric], cube_of(some, metric)) for some in (found, shuffled))
    assert parts_of(one) == parts_of(other)
    for a, b in zip(dimensions(one.cube), dimensions(other.cube), strict=True):
        assert (a.name, a.best.score, a.surprise) == (b.name, b.best.score, b.surprise)


# --- Percentiles ----------------------------------------------------------------------------------------------------
def histogram(*buckets: int) -> np.ndarray:
    return np.bincount(buckets, minlength=len(BOUNDS)).astype(float)


histograms = st.lists(st.integers(0, 200), max_size=30).map(lambda buckets: histogram(*buckets))


@settings(max_examples=60)
@given(before=st.dictionaries(keys, histograms, max_size=8), now=st.dictionaries(keys, histograms, max_size=8))
def test_parts_of_a_percentile_and_their_remainder_sum_exactly(before, now):
    counts = Counts.of(0.95, before, now)
    slices = Slices(EXPLAINED["latency"], cube_of(counts.cells, "latency"), counts)
    parts = parts_of(slices)
    assert total([*(part.contribution for part in parts), slices.remainder(parts)]) == slices.whole.contribution


def test_the_value_that_got_slower_alone_is_the_whole_change_of_a_percentile():
    quick, slow = histogram(*[100] * 100), histogram(*[150] * 100)
    before = {("a", "m", ""): quick, ("b", "m", ""): quick}
    counts = Counts.of(0.95, before, before | {("b", "m", ""): slow})
    slices = Slices(EXPLAINED["latency"], cube_of(counts.cells, "latency"), counts)
    part, rest = parts_of(slices)
    assert part.where == (("feature", "b"),)
    assert (part.contribution, rest.contribution, slices.remainder([part, rest])) == (slices.change, 0, 0)
    assert slices.change == Decimal(str(round(middle(150), 3))) - Decimal(str(round(middle(100), 3)))


# --- What is named --------------------------------------------------------------------------------------------------
def sized(before: dict[tuple, int], now: dict[tuple, int]) -> Cube:
    """A cube of tokens at ten a call."""
    found = [
        Cell(k, before.get(k, 0), now.get(k, 0), before.get(k, 0) // 10, now.get(k, 0) // 10) for k in before | now
    ]
    return Cube(DIMENSIONS, found)


def named(cube: Cube) -> list[dict[str, str]]:
    return [dict(clause.where) for clause in smallest_set(cube)]


GRID = {(f, m, f"{f}-v1"): 1000 for f in "abcd" for m in "mn"}


def test_the_feature_that_grew_is_named():
    assert named(sized(GRID, GRID | {("b", m, "b-v1"): 3000 for m in "mn"})) == [{"feature": "b"}]


def test_a_pair_of_values_is_named_where_only_their_meeting_grew():
    assert named(sized(GRID, GRID | {("b", "n", "b-v1"): 5000})) == [{"feature": "b", "model": "n"}]


def test_two_values_are_named_where_two_grew():
    grown = {(f, m, f"{f}-v1"): 3000 for f in "ac" for m in "mn"}
    assert named(sized(GRID, GRID | grown)) == [{"feature": "a"}, {"feature": "c"}]


def test_growth_of_everything_alike_names_nothing():
    assert named(sized(GRID, {key: value * 2 for key, value in GRID.items()})) == []


def test_the_largest_value_is_not_blamed_for_its_size():
    before = GRID | {("a", "m", "a-v1"): 50_000}
    assert named(sized(before, {k: v + v // 10 + 2000 * (k[0] == "d") for k, v in before.items()})) == [
        {"feature": "d"}
    ]


def test_a_version_that_replaces_another_is_new_in_its_feature_and_not_itself_the_cause():
    switched = {(k[0], k[1], "a-v2" if k[0] == "a" else k[2]): v for k, v in GRID.items()}
    grown = switched | {("c", m, "c-v1"): 3000 for m in "mn"}
    cube = sized(GRID, grown)
    assert named(cube) == [{"feature": "c"}]
    worse = switched | {("a", m, "a-v2"): 3000 for m in "mn"}
    (clause,) = smallest_set(cube := sized(GRID, worse))
    assert dict(clause.where) == {"feature": "a"}
    assert [tuple(new) for new in novelties(cube, clause.cells)] == [("prompt_version", "a-v2", "a-v1")]


def test_a_version_that_ran_before_can_be_the_cause():
    before = {("a", "m", f"v{n}"): 1000 for n in range(1, 5)}
    assert named(sized(before, before | {("a", "m", "v3"): 4000})) == [{"prompt_version": "v3"}]


def test_what_a_failure_looks_like_is_not_its_cause():
    found = [Cell(("a", "timeout"), 0, 50, 0, 50), Cell(("a", ""), 0, 0, 500, 450), Cell(("b", ""), 0, 0, 500, 500)]
    cube = Cube(("feature", "error_type"), found, "sum", "base")
    assert [dict(clause.where) for clause in smallest_set(cube)] == [{"feature": "a"}]
    assert [dimension.name for dimension in dimensions(cube)] == ["feature", "error_type"]


# --- Onset and suspects -----------------------------------------------------------------------------------------------
def series(*values: float) -> list[Point]:
    return [Point(START + timedelta(minutes=5 * place), value) for place, value in enumerate(values)]


def test_the_onset_is_where_the_level_steps():
    found = onset(series(2, 3, 2, 3, 2, 9, 8, 9, 8), 1)
    assert found and found.at == START + timedelta(minutes=25) and found.fit > 0.9
    assert (round(found.before, 1), round(found.after, 1)) == (2.4, 8.5)


def test_a_step_the_other_way_is_not_the_onset():
    assert onset(series(2, 3, 2, 3, 2, 9, 8, 9, 8), -1) is None


def test_scatter_without_a_step_has_no_onset():
    assert onset(series(*[1, 9] * 12), 1) is None


def test_too_few_points_have_no_onset():
    assert onset(series(1, 1, 9, 9), 1) is None


def test_points_that_rest_on_little_count_for_little():
    thin = [Point(START + timedelta(minutes=n), 50, 0.01) for n in range(3)]
    points = [*thin, *[Point(START + timedelta(minutes=n), 1 + 4 * (n > 8), 100) for n in range(3, 15)]]
    found = onset(points, 1)
    assert found and found.at == START + timedelta(minutes=9)


def change(number: int, minutes: int, says: str = "", **names: str) -> Change:
    return Change(number, START + timedelta(minutes=minutes), "deploy", says, names, frozenset(says.split()))


def ranked(*changes: Change, new: dict | None = None) -> list[int]:
    inside = {"feature": {"chat"}, "team": {"support"}}
    return [suspect.change.id for suspect in suspects(changes, START, timedelta(minutes=5), inside, new or {})]


def test_the_closest_change_is_the_likeliest():
    assert ranked(change(1, -90, feature="chat"), change(2, -10, feature="chat")) == [2, 1]


def test_a_change_of_the_feature_beats_a_closer_one_of_another():
    assert ranked(change(1, -1, feature="search"), change(2, -15, feature="chat")) == [2, 1]


def test_a_change_that_names_the_new_version_beats_others():
    new = {"prompt_version": {"v14"}}
    assert ranked(change(1, -5, "deploy 4.2"), change(2, -30, "prompt v14"), new=new) == [2, 1]
    assert ranked(change(1, -5, "deploy 4.2"), change(2, -30, "prompt v142"), new=new) == [1, 2]


def test_a_change_after_the_onset_is_no_suspect():
    assert ranked(change(1, 20, feature="chat"), change(2, 4, feature="chat")) == [2]
