"""The forecast benchmark: the published figures of the baselines prove the harness, ours must beat them."""

import re
from functools import cache

import pytest

from bench.forecast import BASELINES, DATA, error_rows, mean, measure

OURS = "**ours**"
FILES = ["daily_series.csv.gz", "daily_series_no_licence.csv.gz"]


@cache
def found():
    if not DATA.exists():
        pytest.skip(f"{DATA} is not there")
    return measure(DATA)


def figures(line: str) -> list[str]:
    return re.findall(r"\d+\.\d{3}", line)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("baseline", BASELINES)
def test_the_published_figures_of_the_baselines_are_met(file, baseline):
    [row] = error_rows(file, {name: found()[file][name] for name in ("snaive7", baseline)})[-1:]
    published = next(
        line
        for line in (DATA / "README.md").read_text().splitlines()
        if f"| {file} |" in line and f"| {baseline} |" in line
    )
    assert figures(row) == figures(published)


@pytest.mark.parametrize("file", FILES)
def test_ours_has_at_least_15_percent_less_error_than_the_seasonal_naive(file):
    scores = found()[file]
    assert mean(scores[OURS], "mase") <= 0.85 * mean(scores["snaive7"], "mase")


@pytest.mark.parametrize("file", FILES)
def test_days_fall_into_the_intervals_as_often_as_these_say(file):
    scores = found()[file][OURS]
    assert abs(mean(scores, "days80") - 0.80) <= 0.05
    assert abs(mean(scores, "days95") - 0.95) <= 0.05
