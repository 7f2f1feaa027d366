"""A streaming anomaly detector of one metric series: every point gets a score and a flag.

A point is as anomalous as it is *new* (`budgets.rules.novelty`): its value, the shape of the last points, or its value
at that time of day is further from everything seen than nearly all points were. That is the idea of nearest-neighbour
conformal detectors (Laxhammar and Falkman, 2011) with three distances in place of one.

One anomaly fires once: after a flag the series rests. A series that fires often has to show more: each recent flag
raises the bar, and the flags are forgotten over weeks. No labels, no look-ahead; memory is bounded.
"""

import math
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from budgets.rules.novelty import Sketch, Values, nearest_in_phase, nearest_shape, nearest_value

DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Channel:
    """One kind of novelty: it reaches 1 at `times` the quantile `share` of its own past."""

    share: float
    times: float


@dataclass(frozen=True)
class Settings:
    """The shipped defaults; `bench/anomaly.py` measures exactly these."""

    memory: int = 6000  # points remembered
    learn: int = 100  # points of a channel before it speaks
    shape: int = 8  # points of a shape
    days: int = 28  # days compared at the same time of day
    rest: float = 16 * 3600.0  # seconds without a second flag
    forget: float = 21 * DAY  # seconds after which a flag weighs 1/e
    lift: float = 1.0  # how much a fresh flag raises the bar
    value_channel: Channel = Channel(0.99, 0.6)
    shape_channel: Channel = Channel(0.95, 2.0)
    phase_channel: Channel = Channel(0.99, 1.7)


DEFAULT = Settings()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one point. `score` ≥ `bar` is anomalous; `flag` only if the series was not resting."""

    score: float
    bar: float
    flag: bool

    @property
    def strange(self) -> bool:
        return self.score >= self.bar


@dataclass
class Gate:
    """When a score may fire: above a bar that each recent flag raises, and not while the series rests."""

    settings: Settings = DEFAULT
    load: float = 0.0  # recent flags, decayed up to the last of them
    last: float | None = None  # seconds

    def bar(self, at: float) -> float:
        """What a score must reach at that moment; 1 for a series that has not fired."""
        return 1.0 + self.settings.lift * self._load(at)

    def rested(self, at: float) -> bool:
        return self.last is None or at - self.last > self.settings.rest

    def fire(self, at: float) -> None:
        self.load, self.last = self._load(at) + 1, at

    def _load(self, at: float) -> float:
        passed = 0.0 if self.last is None else max(0.0, at - self.last)
        return self.load * math.exp(-passed / self.settings.forget)


@dataclass
class Detector:
    """The state of one series. Feed points in order of time; None is a gap."""

    settings: Settings = DEFAULT
    history: Values = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    sketches: dict[str, Sketch] = field(default_factory=dict)
    gate: Gate = field(default_factory=Gate)
    last_at: float | None = None
    steps: list[float] = field(default_factory=list)  # seconds between the first points, until the step is known

    STEPS = 64

    def __post_init__(self) -> None:
        names = ("value", "shape", "phase")
        self.gate.settings = self.settings
        self.sketches = self.sketches or {name: Sketch(2 * self.settings.memory) for name in names}

    @property
    def day(self) -> int:
        """Points of a day; 0 until the step is known or where there is none."""
        if len(self.steps) < self.STEPS:
            return 0
        step = median(self.steps)
        return round(DAY / step) if step > 0 else 0

    def state(self) -> dict:
        """All that `restored` needs, as plain types: a series goes on after a restart as if nothing had happened."""
        return {
            "history": self.history.astype("<f4").tobytes(),
            "sketches": {name: sketch.state() for name, sketch in self.sketches.items()},
            "gate": (self.gate.load, self.gate.last),
            "last_at": self.last_at,
            "steps": self.steps,
        }

    @classmethod
    def restored(cls, state: dict, settings: Settings = DEFAULT) -> "Detector":
        """The detector that `state` describes."""
        return cls(
            settings,
            np.frombuffer(state["history"], dtype="<f4").astype(np.float32),
            {name: Sketch.restored(2 * settings.memory, sketch) for name, sketch in state["sketches"].items()},
            Gate(settings, *state["gate"]),
            state["last_at"],
            state["steps"],
        )

    def judge(self, at: float, value: float | None) -> Verdict:
        """The verdict on a point (`at` in seconds, later than the last) without learning it."""
        return self._verdict(at, self._distances(value))

    def update(self, at: float, value: float | None) -> Verdict:
        """The verdict on the next point, which is then part of the past."""
        distances = self._distances(value)
        verdict = self._verdict(at, distances)
        self._learn(at, value, distances)
        if verdict.flag:
            self.gate.fire(at)
        return verdict

    def _distances(self, value: float | None) -> dict[str, float | None]:
        if value is None or not math.isfinite(value):
            return {}
        past, chosen = self.history, self.settings
        return {
            "value": nearest_value(past, value),
            "shape": nearest_shape(past, value, chosen.shape),
            "phase": nearest_in_phase(past, value, self.day, chosen.days),
        }

    def _verdict(self, at: float, distances: dict[str, float | None]) -> Verdict:
        score = max((self._novelty(name, distance) for name, distance in distances.items()), default=0.0)
        bar = self.gate.bar(at)
        return Verdict(score, bar, score >= bar and self.gate.rested(at))

    def _novelty(self, name: str, distance: float | None) -> float:
        sketch, channel = self.sketches[name], getattr(self.settings, f"{name}_channel")
        if distance is None or sketch.seen < self.settings.learn:
            return 0.0
        return sketch.ratio(distance, channel.share) / channel.times

    def _learn(self, at: float, value: float | None, distances: dict[str, float | None]) -> None:
        if self.last_at is not None and len(self.steps) < self.STEPS:
            self.steps.append(at - self.last_at)
        for name, distance in distances.items():
            if distance is not None:
                self.sketches[name].add(distance)
        known = math.nan if value is None else value
        self.history = np.append(self.history[-self.settings.memory + 1 :], np.float32(known))
        self.last_at = at
