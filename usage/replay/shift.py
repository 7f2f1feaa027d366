"""Where a trace lands on the clock."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Seconds = TypeVar("Seconds", float, np.ndarray)


@dataclass(frozen=True, slots=True)
class TimeShift:
    """Maps a trace's own seconds to epoch seconds: `source` lands on `wall`, and time passes `speed` times as fast."""

    source: float
    wall: float
    speed: float = 1.0

    def __call__(self, seconds: Seconds) -> Seconds:
        return self.wall + (seconds - self.source) / self.speed
