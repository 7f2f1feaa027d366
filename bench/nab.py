"""The Numenta Anomaly Benchmark's scoring, written from its description (Lavin and Ahmad, 2015; Ahmad et al., 2017).

The first detection in a window earns up to 1, falling along a sigmoid to 0 at the window's end; every row detected
outside costs, less just behind a window; a window without a detection costs a miss. The sum is rescaled so that a
detector that never fires has 0 and a perfect one 100.
"""

import csv
import io
import json
import math
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Profile:
    """What a hit earns, and what a false row and a miss cost."""

    name: str
    hit: float
    false_row: float
    miss: float


PROFILES = (
    Profile("standard", 1.0, 0.11, 1.0),
    Profile("low FP", 1.0, 0.22, 1.0),
    Profile("low FN", 1.0, 0.11, 2.0),
)
STANDARD = PROFILES[0]
_PROBATION_SHARE, _PROBATION_MOST = 0.15, 750


@dataclass(frozen=True)
class Labelled:
    """One series: seconds since the epoch, values, and its windows as first and last row."""

    name: str
    times: list[float]
    values: list[float]
    windows: list[tuple[int, int]]

    @property
    def category(self) -> str:
        return self.name.split("/")[0]

    @property
    def probation(self) -> int:
        """Rows at the beginning that are not scored."""
        return min(int(_PROBATION_SHARE * len(self.values)), _PROBATION_MOST)


def read(folder: Path) -> list[Labelled]:
    """The series of `nab_public_39.tar.gz` in that folder with their labels, by name."""
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text())
    with tarfile.open(folder / "nab_public_39.tar.gz") as archive:
        texts = {name: _text(archive, f"data/{name}") for name in sorted(windows)}
    return [_labelled(name, text, windows[name]) for name, text in texts.items()]


def _text(archive: tarfile.TarFile, member: str) -> str:
    file = archive.extractfile(member)
    if file is None:
        raise FileNotFoundError(f"{member} is no file of the archive")
    return file.read().decode()


def _labelled(name: str, text: str, windows: Iterable[tuple[str, str]]) -> Labelled:
    rows = list(csv.DictReader(io.StringIO(text)))
    times = [_seconds(row["timestamp"]) for row in rows]
    spans = sorted((times.index(_seconds(first)), times.index(_seconds(last))) for first, last in windows)
    return Labelled(name, times, [float(row["value"]) for row in rows], spans)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _sigmoid(position: float) -> float:
    """1 far before, 0 at a window's end, -1 far behind; `position` in widths of the window behind its end."""
    return -1.0 if position >= 3 else 2 / (1 + math.exp(5 * position)) - 1


def score(series: Labelled, detected: Iterable[int], profile: Profile) -> float:
    """Raw score of one series; `detected` are row numbers."""
    best = {window: -profile.miss for window in series.windows if window[1] >= series.probation}
    false_rows = 0.0
    for row in detected:
        if row < series.probation:
            continue
        inside = next((window for window in best if window[0] <= row <= window[1]), None)
        if inside is None:
            false_rows += profile.false_row * _cost(series, row)
        else:
            best[inside] = max(best[inside], profile.hit * _worth(inside, row))
    return sum(best.values()) + false_rows


def _worth(window: tuple[int, int], row: int) -> float:
    width = window[1] - window[0] + 1
    return _sigmoid(-(window[1] - row + 1) / width) / _sigmoid(-1.0)


def _cost(series: Labelled, row: int) -> float:
    before = [window for window in series.windows if window[1] < row]
    return _sigmoid((row - before[-1][1]) / (before[-1][1] - before[-1][0])) if before else -1.0


def rescaled(raw: float, windows: int, profile: Profile) -> float:
    """0 for a detector that never fires, 100 for a perfect one."""
    return 100 * (raw + profile.miss * windows) / (windows * (profile.hit + profile.miss))


def total(corpus: Sequence[Labelled], detected: Sequence[Iterable[int]], profile: Profile) -> float:
    """The score of a whole corpus, `detected` in its order."""
    raw = sum(score(series, rows, profile) for series, rows in zip(corpus, detected, strict=True))
    return rescaled(raw, sum(len(series.windows) for series in corpus), profile)
