"""Sketches of distinct ids: they merge as sets do, whatever the order, and count within their error."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage import sketch

hashes = st.lists(st.integers(0, sketch.SPACE - 1), max_size=400)


def many(count: int, seed: int) -> list[int]:
    return Random(seed).sample(range(sketch.SPACE), count)


@given(st.lists(hashes, max_size=6), st.randoms())
def test_sketches_merge_as_sets_do(parts, rng):
    packed = [sketch.pack_values(part) for part in parts]
    rng.shuffle(packed)
    together = {value for part in parts for value in part}
    assert sketch.compact(b"".join(packed)) == sketch.pack_values(list(together))
    assert sketch.count(b"".join(packed)) == len(together)


@given(st.integers(0, 10**6), st.lists(st.integers(1, 9_000), min_size=1, max_size=8))
@settings(max_examples=25)
def test_the_way_of_merging_full_sketches_leaves_no_trace(seed, cuts):
    values = many(9_000, seed)
    bounds = sorted({0, *cuts, len(values)})
    merged = b""
    for start, end in pairwise(bounds):
        merged = sketch.compact(merged + sketch.pack_values(values[start:end] + values[: end // 3]))
    assert merged == sketch.pack_values(values)
    assert len(merged) == sketch.K * sketch.WIDTH


@pytest.mark.parametrize("count", [0, 1, 99, 101, sketch.K - 1])
def test_a_count_below_k_is_exact(count):
    assert sketch.count(sketch.pack_values(many(count, 1))) == count


def test_a_large_count_is_unbiased_and_within_its_standard_error():
    errors = [sketch.count(sketch.pack_values(many(30_000, seed))) / 30_000 - 1 for seed in range(60)]
    assert abs(sum(errors) / 60) < 0.009  # three standard errors of the mean of 60
    assert (sum(error**2 for error in errors) / 60) ** 0.5 == pytest.approx(0.0221, rel=0.3)


@pytest.mark.parametrize(("size", "allowed"), [(1_000, 0), (40_000, 0.08)])
def test_what_is_in_one_and_not_in_the_other_is_counted(size, allowed):
    values = many(size, 3)
    packed, others = sketch.pack_values(values), sketch.pack_values(values[: size // 4])
    assert sketch.count_only(packed, others) == pytest.approx(size * 3 / 4, rel=allowed)
    assert sketch.count_only(packed, None) == sketch.count(packed)
    assert sketch.count_only(None, others) == 0
