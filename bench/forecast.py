"""`make bench-forecast`: accuracy and run time of the budget forecast on real daily series, beside simple baselines.

The protocol is that of the data's README: origins, horizons, MASE, sMAPE and the error of the sum. Baselines are
measured by the same code, so that their published figures prove it.
"""

import argparse
import csv
import gzip
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import sections
from bench.desk import ROOT
from bench.report import cpu_model
from budgets.rules.forecast import forecast
from budgets.rules.outlook import History

DATA = ROOT.parent / "shared" / "data" / "forecast"
LONG, LONGER, SHORT_HORIZON, HORIZON, LEAST_HISTORY = 180, 300, 14, 28, 28
SPEED_SERIES, SPEED_DAYS, SPEED_HORIZON = 1_000, 180, 31

Values = NDArray[np.float64]
Point = Callable[[Values, int], Values]
BASELINES: dict[str, Point] = {
    "naive": lambda past, horizon: np.full(horizon, past[-1]),
    "mean28": lambda past, horizon: np.full(horizon, past[-28:].mean()),
    "snaive7": lambda past, horizon: np.resize(past[-7:], horizon),
    "weekday4": lambda past, horizon: np.resize(past[-28:].reshape(4, 7).mean(axis=0), horizon),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One origin of one series: the days before it, and those after it that are to be forecast."""

    series: str
    start: date
    past: Values
    future: Values


@dataclass(frozen=True, slots=True)
class Score:
    """Errors of one forecast; coverage only of one with intervals: shares of days inside, and whether the sum is."""

    mase: float
    smape: float
    total: float
    days80: float = float("nan")
    days95: float = float("nan")
    sum80: float = float("nan")
    sum95: float = float("nan")


def read_series(path: Path) -> dict[str, tuple[date, Values]]:
    """First day and values of each series; a missing day gets the value seven days before it."""
    days: dict[str, dict[date, float]] = {}
    with gzip.open(path, "rt") as lines:
        for row in csv.DictReader(lines):
            days.setdefault(row["series_id"], {})[date.fromisoformat(row["date"])] = float(row["value"])
    return {name: (min(values), _filled(values)) for name, values in days.items()}


def _filled(values: dict[date, float]) -> Values:
    first = min(values)
    filled: list[float] = []
    for number in range((max(values) - first).days + 1):
        missing = filled[number - 7] if number >= 7 else float("nan")
        filled.append(values.get(first + timedelta(number), missing))
    return np.array(filled)


def trials(path: Path) -> Iterator[Trial]:
    """Every origin of every series of a file."""
    for name, (start, values) in read_series(path).items():
        horizon = HORIZON if len(values) >= LONG else SHORT_HORIZON
        origins = 1 if len(values) < LONG else 6 if len(values) >= LONGER else 3
        for number in range(origins):
            cut = len(values) - horizon * (number + 1)
            if cut >= LEAST_HISTORY:
                yield Trial(name, start, values[:cut], values[cut : cut + horizon])


def score(trial: Trial, point: Values) -> Score:
    """MASE, sMAPE and error of the sum."""
    error = np.abs(point - trial.future)
    scale = np.abs(trial.past[7:] - trial.past[:-7]).mean()
    smape = np.mean(2 * error / (np.abs(point) + np.abs(trial.future)))
    total = abs(point.sum() - trial.future.sum()) / trial.future.sum()
    return Score(float(error.mean() / scale), float(smape), float(total))


def score_ours(trial: Trial) -> Score:
    """The same with the coverage of the intervals."""
    made = forecast(History(trial.start, trial.past.tolist()), len(trial.future)).days
    plain = score(trial, np.array([day.day.expected for day in made]))
    pairs, last, total = list(zip(made, trial.future, strict=True)), made[-1].total, trial.future.sum()
    return Score(
        plain.mase,
        plain.smape,
        plain.total,
        float(np.mean([day.day.low80 <= value <= day.day.high80 for day, value in pairs])),
        float(np.mean([day.day.low95 <= value <= day.day.high95 for day, value in pairs])),
        float(last.low80 <= total <= last.high80),
        float(last.low95 <= total <= last.high95),
    )


def mean(scores: list[Score], of: str) -> float:
    return statistics.fmean(getattr(one, of) for one in scores)


def error_rows(name: str, results: dict[str, list[Score]]) -> list[str]:
    """The rows of a file, as in the README's table, and what is gained over the seasonal naive forecast."""
    seasonal = mean(results["snaive7"], "mase")
    return [
        f"| {name} | {len(scores)} | {method} | {mean(scores, 'mase'):.3f} |"
        f" {statistics.median_high(one.mase for one in scores):.3f} | {mean(scores, 'smape'):.3f} |"
        f" {mean(scores, 'total'):.3f} | {statistics.median_high(one.total for one in scores):.3f} |"
        f" {1 - mean(scores, 'mase') / seasonal:+.1%} |"
        for method, scores in results.items()
    ]


def coverage_row(name: str, scores: list[Score]) -> str:
    shares = (f"{mean(scores, of):.1%}" for of in ("days80", "days95", "sum80", "sum95"))
    return f"| {name} | {' | '.join(shares)} |"


def seconds_for_many() -> float:
    """CPU seconds of one process for the forecasts of a large desk: series with rhythm, noise and spikes."""
    random = np.random.default_rng(1)
    week = np.array([1.1, 1.2, 1.2, 1.15, 1.0, 0.6, 0.5])
    start, rhythm = date(2026, 1, 1), np.resize(week, SPEED_DAYS)
    histories = [
        History(start, (100 * rhythm * random.lognormal(0, 0.2, SPEED_DAYS)).tolist()) for _ in range(SPEED_SERIES)
    ]
    began = time.process_time()
    for history in histories:
        forecast(history, SPEED_HORIZON)
    return time.process_time() - began


def measure(folder: Path) -> dict[str, dict[str, list[Score]]]:
    """Scores of every method on every file of the folder."""
    found = {}
    for path in sorted(folder.glob("daily_series*.csv.gz")):
        rows = list(trials(path))
        results = {
            name: [score(row, point(row.past, len(row.future))) for row in rows] for name, point in BASELINES.items()
        }
        found[path.name] = results | {"**ours**": [score_ours(row) for row in rows]}
    return found


def report(found: dict[str, dict[str, list[Score]]], seconds: float) -> str:
    """The section of the page."""
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    errors = [row for name, results in found.items() for row in error_rows(name, results)]
    covered = [coverage_row(name, results["**ours**"]) for name, results in found.items()]
    return "\n".join(
        [
            "## Forecast accuracy",
            "",
            f"`make bench-forecast`, {when}, {cpu_model()}, statsmodels {version('statsmodels')}. Real daily series"
            " with weekly rhythm, growth, holidays and shocks, none of them spend; one trial is one origin of one"
            " series.",
            "MASE 1 is the error of repeating last week, measured on the history. `snaive7` repeats the last week,"
            " `weekday4` the means of four weeks, `mean28` one mean, `naive` the last day.",
            "",
            "| file | trials | method | MASE mean | MASE median | sMAPE mean | total error mean | total error median |"
            " less MASE than snaive7 |",
            "|---|---:|---|---:|---:|---:|---:|---:|---:|",
            *errors,
            "",
            "How often the truth was inside the interval. The sum is that of the horizon, one figure a trial; series of"
            " a file move together, so their sums are far fewer independent trials than there are rows.",
            "",
            "| file | days in 80 % | days in 95 % | sums in 80 % | sums in 95 % |",
            "|---|---:|---:|---:|---:|",
            *covered,
            "",
            f"{SPEED_SERIES:,} series of {SPEED_DAYS} days, {SPEED_HORIZON} days ahead: {seconds:.1f} CPU seconds on"
            f" one core ({seconds / SPEED_SERIES * 1000:.1f} ms a series).",
        ]
    )


def main() -> int:
    """0 when measured; 1 with a message when the series are not there."""
    parser = argparse.ArgumentParser(prog="python -m bench.forecast", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with daily_series*.csv.gz")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md", help="page that gets the section")
    chosen = parser.parse_args()
    if not (found := measure(chosen.data)):
        sys.stderr.write(f"No daily_series*.csv.gz in {chosen.data}; name the folder with --data.\n")
        return 1
    text = report(found, seconds_for_many())
    sys.stdout.write(text + "\n")
    sections.put(chosen.out, "forecast", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
