"""`python -m bench.anomaly`: the spend anomaly detector on labelled series, and its section of docs/benchmarks.md.

The shipped settings run as they are, one pass over each series in order of time. Beside them: a detector that never
fires, a perfect one, and a windowed Gaussian with a known score, which check the scorer; what a threshold tuned on
these series would have reached; and what one chosen without the category it is scored on reaches.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench import nab, sections
from bench.nab import PROFILES, STANDARD, Labelled, Profile
from budgets.rules.anomaly import DEFAULT, Detector, Gate

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data" / "nab"
SENSITIVITIES = tuple(float(value) for value in np.geomspace(0.5, 3, 30))

Rows = list[list[int]]  # detected rows of each series


def scores_of(series: Labelled) -> list[float]:
    """The shipped detector's score of every row."""
    detector = Detector()
    return [detector.update(at, value).score for at, value in zip(series.times, series.values, strict=True)]


def flags(series: Labelled, scores: Sequence[float], sensitivity: float = 1.0) -> list[int]:
    """Rows that fire if scores are divided by `sensitivity`; 1 is what ships."""
    gate, found = Gate(DEFAULT), []
    for row, (at, score) in enumerate(zip(series.times, scores, strict=True)):
        if score / sensitivity >= gate.bar(at) and gate.rested(at):
            gate.fire(at)
            found.append(row)
    return found


def gaussian(series: Labelled, window: int = 6400, step: int = 100) -> np.ndarray:
    """Tail probability under mean and deviation of the last `window` rows, moved on every `step` rows.

    The score in the units NAB stores: 1 - Q(|z|), rounded to twelve digits.
    """
    values, scores, mean, deviation, begin = np.array(series.values), [], 0.0, 1.0, 0
    for row, value in enumerate(values):
        scores.append(1 - 0.5 * math.erfc(abs(value - mean) / deviation / math.sqrt(2)) if row else 0.0)
        full = row + 1 - begin
        if full <= window or full == window + step:
            begin = max(0, row + 1 - window)
            mean, deviation = values[begin : row + 1].mean(), values[begin : row + 1].std() or 1e-6
    return np.round(scores, 12)


def perfect(series: Labelled) -> list[int]:
    """The first scored row of every window."""
    return [max(first, series.probation) for first, _ in series.windows]


def at_best(corpus: Sequence[Labelled], candidates: Sequence[Rows]) -> list[float]:
    """The score in each profile with the candidate that is best in it."""
    return [max(nab.total(corpus, rows, profile) for rows in candidates) for profile in PROFILES]


def left_out(corpus: Sequence[Labelled], candidates: Sequence[Rows], profile: Profile) -> float:
    """Each category scored with the candidate that is best on the other categories."""
    raw = np.array(
        [[nab.score(s, found, profile) for s, found in zip(corpus, rows, strict=True)] for rows in candidates]
    )
    categories, earned = np.array([series.category for series in corpus]), 0.0
    for category in set(categories):
        here = categories == category
        earned += raw[raw[:, ~here].sum(axis=1).argmax(), here].sum()
    return nab.rescaled(earned, sum(len(series.windows) for series in corpus), profile)


def by_category(corpus: Sequence[Labelled], detected: Rows) -> list[str]:
    """A line for each category: windows, windows found, rows that fired outside, standard score."""
    lines = []
    for category in sorted({series.category for series in corpus}):
        here = [(s, rows) for s, rows in zip(corpus, detected, strict=True) if s.category == category]
        windows = sum(len(series.windows) for series, _ in here)
        found = sum(any(a <= row <= b for row in rows) for series, rows in here for a, b in series.windows)
        false = sum(
            row >= s.probation and not any(a <= row <= b for a, b in s.windows) for s, rows in here for row in rows
        )
        points = f"{nab.total([s for s, _ in here], [r for _, r in here], STANDARD):.1f}" if windows else "no windows"
        lines.append(f"| {category} | {len(here)} | {windows} | {found} | {false} | {points} |")
    return lines


def line(name: str, scores: Sequence[float]) -> str:
    return f"| {name} | {' | '.join(f'{score:.1f}' for score in scores)} |"


def gaussian_rows(corpus: Sequence[Labelled]) -> list[Rows]:
    """Detections of the windowed Gaussian at its highest thresholds; NAB's own choice is the last, 1."""
    scored = [gaussian(series) for series in corpus]
    thresholds = [1 - 10.0**-digits for digits in range(3, 13)] + [1.0]
    return [[list(np.flatnonzero(scores >= least)) for scores in scored] for least in thresholds]


def report(corpus: Sequence[Labelled], command: str) -> str:
    """The section of the page."""
    began = time.process_time()
    scores = [scores_of(series) for series in corpus]
    took, rows = time.process_time() - began, sum(len(series.values) for series in corpus)
    swept = [[flags(s, own, value) for s, own in zip(corpus, scores, strict=True)] for value in SENSITIVITIES]
    ours = [flags(s, own) for s, own in zip(corpus, scores, strict=True)]
    shipped = [nab.total(corpus, ours, profile) for profile in PROFILES]
    cross = [left_out(corpus, swept, profile) for profile in PROFILES]
    empty: Rows = [[] for _ in corpus]
    whole = [perfect(series) for series in corpus]
    windowed = gaussian_rows(corpus)[-1]
    table = [
        line("**ours, shipped settings**", shipped),
        line("ours, threshold tuned on these series", at_best(corpus, swept)),
        line("ours, threshold chosen without the category it is scored on", cross),
        line("windowed Gaussian (6,400 rows), run here", [nab.total(corpus, windowed, p) for p in PROFILES]),
        line("never fires", [nab.total(corpus, empty, p) for p in PROFILES]),
        line("perfect", [nab.total(corpus, whole, p) for p in PROFILES]),
    ]
    return _TEXT.format(
        files=len(corpus),
        windows=sum(len(series.windows) for series in corpus),
        rows=rows,
        command=command,
        table="\n".join(table),
        categories="\n".join(by_category(corpus, ours)),
        took=took,
        micros=1e6 * took / rows,
        verdict=f"{'met' if shipped[0] >= 58 else '**missed**'} (goal 58), "
        f"{'met' if shipped[0] >= 70 else 'missed'} (stretch 70)",
    )


_TEXT = """## Spend anomalies on labelled series

{files} series of the Numenta Anomaly Benchmark with {windows} windows ({rows:,} rows), scored as that benchmark does
(`bench/nab.py`). One pass over each series; a row's score uses that row and earlier ones.
Standard profile: {verdict}. Command: `{command}`.

| detector | standard | low FP | low FN |
|---|---:|---:|---:|
{table}

Published results on the same series, for the scale (standard / low FP / low FN): ARTime 73.0 / 66.6 / 78.4, CAD OSE
70.7 / 67.8 / 73.9, Numenta HTM 68.0 / 60.8 / 72.4, KNN CAD 54.6 / 37.7 / 62.1, windowed Gaussian 34.1 / 15.0 / 41.7.
Those have one threshold for each profile, chosen on these series; ours is one for all. It was chosen here too, so
expect less on others: the third line says how much the threshold alone owes to that.

| category | series | windows | found | false rows | standard |
|---|---:|---:|---:|---:|---:|
{categories}

One core took {took:.0f} CPU seconds, {micros:.0f} µs a row. Limits: the labels are debatable, and windows are wide;
this measures a detector on one number over time, not spend. Series that are noise with rare spikes (tweets, the
misconfigured autoscaling) pay most of the false rows.

How the settings were found: three thresholds, the rest after a flag and the weight of past flags on a coarse grid,
taking the middle of the plateau. Choosing all of them without the category they are scored on gave 71.7. Tried and
dropped, as best scores on the same series: z-scores over 200 to 6,400 rows with a rest after each flag (46 to 51), the
same on differences (45 to 50), one nearest-neighbour distance alone (54 to 63), two without the bar that rises with
each flag (65), with it (69), a rest in rows instead of hours (69), no comparison with the same time of day (71).
"""


def main() -> int:
    """0 when measured; 1 with a message where the data is absent."""
    parser = argparse.ArgumentParser(prog="python -m bench.anomaly", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with nab_public_39.tar.gz and labels/")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md", help="page with the section")
    chosen = parser.parse_args()
    if not chosen.data.is_dir():
        sys.stderr.write(f"no labelled series: {chosen.data} does not exist; name their folder with --data\n")
        return 1
    text = report(nab.read(chosen.data), "make bench-anomaly")
    sections.put(chosen.out, "anomaly", text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
