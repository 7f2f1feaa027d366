"""Where a trace lands on the clock."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class TimeShift:
    """Maps a trace's own seconds to epoch seconds: `source` lands on `wall`, and time passes `speed` times as fast."""

    source: float
    wall: float
    speed: float = 1.0

    def __call__(self, seconds: np.ndarray) -> np.ndarray:
        return self.wall + (seconds - self.source) / self.speed
