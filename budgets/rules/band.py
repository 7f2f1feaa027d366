"""What a series was expected to do: the best of three plain forecasts, and the width nearly all points kept to."""

from dataclasses import dataclass, field

import numpy as np

from budgets.rules.novelty import Sketch, Values

# Errors after which the older ones count half.
RESIDUALS = 1000


@dataclass(frozen=True, slots=True)
class Band:
    """Expected value and range of a point, in the unit of the series."""

    low: float
    middle: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass
class BandModel:
    """Chooses among the median of the last weeks' same hours, of the last days' same hours, and of the last day.

    The forecast with the smallest recent error is used, so a series with a weekly rhythm gets one and a series
    without any is not given one. The width is the 97th percentile of past errors in units of the usual size.
    """

    errors: dict[str, float] = field(default_factory=dict)  # mean absolute error, exponentially weighted
    size: float | None = None  # mean absolute value, exponentially weighted
    residuals: Sketch = field(default_factory=lambda: Sketch(RESIDUALS))

    RECENT = 1 / 50  # weight of the newest error
    SHARE = 0.97
    LEARN = 24  # errors seen before there is a band
    PERIODS = (("week", 7, 6), ("day", 1, 7))  # forecast, its period in days, periods looked back

    def expect(self, history: Values, day: int) -> Band | None:
        """The band of the point after `history`; None while too little is known. `day` is in points, 0 if unknown."""
        forecasts = self._forecasts(history, day)
        if not forecasts or self.residuals.seen < self.LEARN:
            return None
        middle = forecasts[self._best(forecasts)]
        half = self.residuals.quantile(self.SHARE) * self._scale(middle)
        floor = 0.0 if np.nanmin(history) >= 0 else -np.inf
        return Band(max(floor, middle - half), middle, middle + half)

    def learn(self, history: Values, day: int, value: float | None) -> None:
        """Compare what would have been said of the point after `history` with what came."""
        if value is None:
            return
        forecasts = self._forecasts(history, day)
        self.size = abs(value) if self.size is None else self.size + self.RECENT * (abs(value) - self.size)
        if forecasts:
            middle = forecasts[self._best(forecasts)]
            scale = self._scale(middle)
            self.residuals.add(abs(value - middle) / scale if scale else 0.0)
        for name, forecast in forecasts.items():
            error = abs(value - forecast)
            self.errors[name] = self.errors.get(name, error) + self.RECENT * (error - self.errors.get(name, error))

    def state(self) -> dict:
        """What `BandModel.restored` needs, as plain types."""
        return {"errors": self.errors, "size": self.size, "residuals": self.residuals.state()}

    @classmethod
    def restored(cls, state: dict) -> "BandModel":
        return cls(state["errors"], state["size"], Sketch.restored(RESIDUALS, state["residuals"]))

    def _scale(self, middle: float) -> float:
        return 0.5 * (abs(middle) + (self.size or 0.0))

    def _best(self, forecasts: dict[str, float]) -> str:
        return min(forecasts, key=lambda name: self.errors.get(name, float("inf")))

    def _forecasts(self, history: Values, day: int) -> dict[str, float]:
        recent = history[-max(day, 24) :]
        found = {"level": _median(recent, least=12)}
        if day > 1:
            for name, days, most in self.PERIODS:
                found[name] = _median(history[-day * days :: -day * days][:most], least=2)
        return {name: value for name, value in found.items() if value is not None}


def _median(values: Values, least: int) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) >= least else None
