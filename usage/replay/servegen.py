"""Events from the ServeGen trace: counts per client and ten minutes, and token distributions per client and six hours.

The recipe, and where it departs from the data's own README, is in docs/replay.md.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from usage.replay.calls import Calls, Slice, Writer
from usage.replay.cast import TIERS, Client, client
from usage.replay.draws import key_of, uniform
from usage.replay.reading import lines_of
from usage.replay.shift import TimeShift

WINDOW_S = 600
PERIOD_S = 21_600
DAYS = 14
DAY_S = 86_400
DEFAULT_EVENTS = 200_000
# Clients seen in fewer windows are too sparse to have a rhythm; deepseek-r1 has one day of windows, so fewer will do.
_LEAST_WINDOWS = {"m-large": 1000, "m-mid": 1000, "m-small": 1000, "deepseek-r1": 100}
_COUNT, _GAP, _INPUT, _OUTPUT, _REASON = range(5)
_PROBABILITIES = np.array([0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1])
_COLUMNS = ("p0", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "p99.9", "p100")
_FIELDS = ("input_tokens", "output_tokens", "reason_ratio")

# Weibull shape for a coefficient of variation: its inverse has no closed form, so it is read off this table.
_SHAPES = np.geomspace(10, 0.15, 400)
_VARIATIONS = np.array([math.sqrt(math.gamma(1 + 2 / k) / math.gamma(1 + 1 / k) ** 2 - 1) for k in _SHAPES])


class ServeGen:
    """Fourteen days scaled to about `events` events. deepseek-r1 has one real day, which is repeated."""

    name = "servegen"
    start, end = 0.0, float(DAYS * DAY_S)

    def __init__(self, path: Path, *, events: int | None, seed: str, teams: int):
        self.seed = seed
        self.expected = events or DEFAULT_EVENTS
        chosen = _chosen_clients(path.with_name("servegen_clients.csv"))
        self.index = {who: number for number, who in enumerate(chosen)}
        self.clients: list[Client] = [
            client(trace="servegen", name=f"{model}-{number}", models=TIERS[model], teams=teams)
            for model, number in chosen
        ]
        self.quantiles = _quantiles(path.with_name("servegen_tokens.csv.gz"), self.index)
        self.windows = _windows(path, self.index)
        self.scale = _scales(self.windows, len(chosen), self.expected)

    def slices(self, shift: TimeShift, ids: str) -> Iterator[Slice]:
        """One slice per ten minutes, in order. `ids` begins each event id."""
        writer = Writer(self.clients)
        names = [f"{ids}-{who.id}" for who in self.clients]
        for window in sorted(self.windows):
            calls = self._calls(window, shift, names)
            if len(calls.times):
                yield writer.slice(calls)

    def _calls(self, window: int, shift: TimeShift, names: list[str]) -> Calls:
        who, requests, variation = self.windows[window]
        keys = np.array([key_of(self.seed, names_of, window) for names_of in self._plain(who)], dtype=np.uint64)
        counts = np.floor(requests * self.scale[who] + uniform(keys, np.zeros_like(who), _COUNT)).astype(int)
        row = np.repeat(np.arange(len(who)), counts)
        number = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        offsets = _offsets(keys, counts, row, number, variation)
        order = np.argsort(offsets, kind="stable")
        row, number, key = row[order], number[order], keys[row[order]]
        tokens = self._tokens(window // PERIOD_S, who[row], key, number)
        ids = [f"{names[c]}-{window}-{n}" for c, n in zip(who[row].tolist(), number.tolist(), strict=True)]
        return Calls(shift(window + offsets[order]), who[row], key, number, ids, **tokens)

    def _plain(self, who: np.ndarray) -> list[str]:
        return [self.clients[number].id for number in who]

    def _tokens(self, period: int, who: np.ndarray, key: np.ndarray, number: np.ndarray) -> dict[str, np.ndarray]:
        drawn = [
            _between(self.quantiles[period, who, field], uniform(key, number, draw))
            for field, draw in ((0, _INPUT), (1, _OUTPUT), (2, _REASON))
        ]
        output = np.maximum(1, np.rint(drawn[1])).astype(np.int64)
        return {
            "input_tokens": np.maximum(1, np.rint(drawn[0])).astype(np.int64),
            "output_tokens": output,
            "reasoning_tokens": np.floor(output * np.clip(drawn[2], 0, 1)).astype(np.int64),
        }


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with lines_of(path) as lines:
        yield from csv.DictReader(lines)


def _chosen_clients(path: Path) -> list[tuple[str, str]]:
    return [
        (row["model"], row["client"])
        for row in _rows(path)
        if int(row["has_token_data"]) and int(row["active_windows"]) >= _LEAST_WINDOWS.get(row["model"], math.inf)
    ]


def _windows(path: Path, index: dict) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Window start → (client numbers, requests, variation of the gaps), each an array."""
    found: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    for row in _rows(path):
        who = index.get((row["model"], row["client"]))
        if who is None:
            continue
        start = int(row["window_start_s"])
        value = (who, int(row["requests"]), float(row["iat_cv"] or 1))
        days = range(DAYS) if row["model"] == "deepseek-r1" else (0,)
        for day in days:
            found[start + day * DAY_S].append(value)
    return {start: _columns(values) for start, values in found.items()}


def _columns(values: list[tuple[int, int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    who, requests, variation = zip(*values, strict=True)
    return np.array(who), np.array(requests, dtype=float), np.array(variation)


def _scales(windows: dict, clients: int, events: int) -> np.ndarray:
    """Per client the share of its requests to keep: targets go by the square root, so that giants do not swamp all."""
    total = np.zeros(clients)
    for who, requests, _ in windows.values():
        np.add.at(total, who, requests)
    target = np.sqrt(total)
    return np.divide(target * (events / target.sum()), total, out=np.zeros(clients), where=total > 0)


def _quantiles(path: Path, index: dict) -> np.ndarray:
    """[period, client, field, 12]: quantiles scaled to the stated mean, a missing period filled from the last one."""
    table = np.full((DAYS * DAY_S // PERIOD_S, len(index), len(_FIELDS), len(_PROBABILITIES)), np.nan)
    for row in _rows(path):
        who = index.get((row["model"], row["client"]))
        if who is None or row["field"] not in _FIELDS:
            continue
        values = np.array([float(row[column]) for column in _COLUMNS])
        period = int(row["period_start_s"]) // PERIOD_S
        table[period, who, _FIELDS.index(row["field"])] = _to_mean(values, float(row["mean"]))
    for (model, _), who in index.items():
        if model == "deepseek-r1":
            table[:, who] = np.tile(table[: DAY_S // PERIOD_S, who], (DAYS, 1, 1))
    return np.nan_to_num(_filled(table))


def _to_mean(values: np.ndarray, mean: float) -> np.ndarray:
    """Straight lines between quantiles overstate long tails; this brings the drawn mean to the stated one."""
    drawn = float(np.sum(np.diff(_PROBABILITIES) * (values[1:] + values[:-1]) / 2))
    return values * (mean / drawn) if drawn > 0 else values


def _filled(table: np.ndarray) -> np.ndarray:
    """A missing period takes the nearest earlier one of its client, the first ones the nearest later one."""
    earlier = [(step, step - 1) for step in range(1, len(table))]
    later = [(step, step + 1) for step in range(len(table) - 2, -1, -1)]
    for step, near in earlier + later:
        gap = np.isnan(table[step])
        table[step][gap] = table[near][gap]
    return table


def _between(quantiles: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Straight lines between each row's quantiles at that row's draw."""
    right = np.clip(np.searchsorted(_PROBABILITIES, draws, side="right"), 1, len(_PROBABILITIES) - 1)
    rows = np.arange(len(draws))
    low, high = quantiles[rows, right - 1], quantiles[rows, right]
    left = _PROBABILITIES[right - 1]
    return low + (high - low) * (draws - left) / (_PROBABILITIES[right] - left)


def _offsets(
    keys: np.ndarray, counts: np.ndarray, row: np.ndarray, number: np.ndarray, variation: np.ndarray
) -> np.ndarray:
    """Seconds into the window: Weibull gaps of the window's own variation, stretched to fill it."""
    shape = np.interp(variation, _VARIATIONS, _SHAPES)
    gaps = (-np.log(uniform(keys[row], number, _GAP))) ** (1 / shape[row])
    last = (-np.log(uniform(keys, counts, _GAP))) ** (1 / shape)
    total = np.bincount(row, weights=gaps, minlength=len(keys)) + last
    share = np.cumsum(gaps / total[row])
    before = np.concatenate(([0.0], share))[np.cumsum(counts) - counts]
    return np.clip(share - before[row], 0, 1 - 1e-9) * WINDOW_S
