"""What a series was expected to do: the best of three plain forecasts, and the width nearly all points kept to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

from budgets.rules.novelty import Sketch
from budgets.rules.scatter import Scatter

# Points remembered: six weeks of hours, and some.
MEMORY = 1100
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
    What is learnt is what was usual: during an anomaly its caller gives the expected value instead.
    """

    day: int = 24  # points of a day
    history: list[float | None] = field(default_factory=list)
    errors: dict[str, float] = field(default_factory=dict)  # mean absolute error, exponentially weighted
    size: float | None = None  # mean absolute value, exponentially weighted
    residuals: Sketch = field(default_factory=lambda: Sketch(RESIDUALS))
    scatter: Scatter = field(default_factory=Scatter)

    RECENT = 1 / 50  # weight of the newest error
    SHARE = 0.97
    LEARN = 168  # errors seen before there is a band: each day of the week once
    PERIODS = (("week", 7, 6), ("day", 1, 7))  # forecast, its period in days, periods looked back

    def expect(self) -> Band | None:
        """The band of the next point; None while too little is known."""
        forecasts = self._forecasts()
        if not forecasts or self.residuals.seen < self.LEARN:
            return None
        middle = forecasts[self._best(forecasts)]
        half = self.residuals.quantile(self.SHARE) * self._scale(middle)
        low = middle - half
        if low < 0 and not any(value is not None and value < 0 for value in self.history):
            low = 0.0
        return Band(low, middle, middle + half)

    def learn(self, value: float | None) -> None:
        """Compare what would have been said of the next point with what came, and remember it."""
        if value is not None:
            self._compare(value)
        self.history = [*self.history[1 - MEMORY :], value]

    def accept(self, values: Sequence[float | None]) -> None:
        """The last points were these after all: what seemed an anomaly is the new normal."""
        self.history[len(self.history) - len(values) :] = values

    def state(self) -> dict:
        """What `restored` needs, as plain types."""
        return {
            "day": self.day,
            "history": self.history,
            "errors": self.errors,
            "size": self.size,
            "residuals": self.residuals.state(),
            "scatter": asdict(self.scatter),
        }

    @classmethod
    def restored(cls, state: dict) -> "BandModel":
        residuals, scatter = Sketch.restored(RESIDUALS, state["residuals"]), Scatter(**state.get("scatter", {}))
        return cls(**(state | {"residuals": residuals, "scatter": scatter}))

    def _compare(self, value: float) -> None:
        forecasts = self._forecasts()
        self.size = abs(value) if self.size is None else self.size + self.RECENT * (abs(value) - self.size)
        if "day" in forecasts:  # the first two days know no rhythm yet: their errors say nothing of later ones
            middle = forecasts[self._best(forecasts)]
            scale = self._scale(middle)
            self.residuals.add(abs(value - middle) / scale if scale else 0.0)
            self.scatter.learn(value, value - middle)
        for name, forecast in forecasts.items():
            error, known = abs(value - forecast), self.errors.get(name)
            self.errors[name] = error if known is None else known + self.RECENT * (error - known)

    def _scale(self, middle: float) -> float:
        return 0.5 * (abs(middle) + (self.size or 0.0))

    def _best(self, forecasts: dict[str, float]) -> str:
        return min(forecasts, key=lambda name: self.errors.get(name, float("inf")))

    def _forecasts(self) -> dict[str, float]:
        found = {"level": _median(self.history[-self.day :], least=self.day // 2)}
        for name, days, most in self.PERIODS:
            back = self.day * days
            found[name] = _median(self.history[-back : -back * most - 1 : -back], least=2)
        return {name: value for name, value in found.items() if value is not None}


def _median(values: Sequence[float | None], least: int) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if len(known) >= least else None
