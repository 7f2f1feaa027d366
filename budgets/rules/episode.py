"""Anomalies of one metric of one slice, hour by hour: when one begins, what it costs, when it is over.

The detector says what is new, the band what was expected. An hour begins an anomaly when it is both strange and
outside its band, and matters: enough money, enough of the usual, more than chance moves a count. The anomaly is over
after two hours back inside (hours without figures do not count, a day of them does), or after a week, when it is the
new normal.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from budgets.rules.anomaly import Detector
from budgets.rules.band import Band, BandModel

HOUR = timedelta(hours=1)
CALM = 2  # hours back inside that end an anomaly
SILENT = timedelta(days=1)  # without figures: that ends it too
NEW_NORMAL = timedelta(days=7)
SAME = timedelta(hours=16)  # what begins again this soon is the same anomaly going on
BEFORE = 24  # hours shown before an anomaly
LEAST_CHANGE = 0.3  # of the expected value
LEAST_CALLS = 3  # in an hour, for a figure per call to mean anything
SIGMAS = 5.0  # a sum must be further off than chance moves it


class Watched(StrEnum):
    """What is watched of every slice, by hour."""

    SPEND = "spend"
    TOKENS_PER_CALL = "tokens_per_call"
    COST_PER_CALL = "cost_per_call"
    REQUESTS = "requests"
    REFUSALS = "refusals"
    FAILURES = "failures"
    EMPTY_RETRIEVALS = "empty_retrievals"


COUNTS = frozenset({Watched.REQUESTS, Watched.REFUSALS, Watched.FAILURES, Watched.EMPTY_RETRIEVALS})
UNPRICED = frozenset({Watched.FAILURES, Watched.EMPTY_RETRIEVALS})
# They only grow while an hour runs, so what is too much already will not become less.
GROWING = COUNTS | {Watched.SPEND}


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of a slice. `cost` is None where no call's cost is known; None as a whole is an hour without figures."""

    at: datetime
    cost: Decimal | None
    calls: int
    requests: int
    refusals: int
    tokens: int
    failures: int
    empty_retrievals: int

    def value(self, metric: Watched) -> float | None:
        """The metric's value; None where it is unknown or says nothing."""
        match metric:
            case Watched.SPEND:
                return None if self.cost is None else float(self.cost)
            case Watched.REQUESTS | Watched.REFUSALS | Watched.FAILURES | Watched.EMPTY_RETRIEVALS:
                return float(getattr(self, metric.value))
        if self.calls < LEAST_CALLS:
            return None
        if metric == Watched.TOKENS_PER_CALL:
            return self.tokens / self.calls
        return None if self.cost is None else float(self.cost) / self.calls

    def impact(self, metric: Watched, expected: float) -> Decimal | None:
        """USD more (or less) than expected in this hour; None where that is unknown.

        Spend: the difference. Figures per call and requests: their share of the hour's cost that was not expected.
        Refusals: the cost of so many average requests. What fails or finds nothing costs time rather than money.
        """
        value = self.value(metric)
        if value is None or self.cost is None or not self.calls or metric in UNPRICED:
            return None
        if metric == Watched.SPEND:
            return self.cost - exact(expected)
        if metric == Watched.REFUSALS:
            return self.cost * exact((value - expected) / self.requests) if self.requests else None
        return self.cost * exact(1 - expected / value) if value else None


def exact(number: float) -> Decimal:
    """A float of a statistic as a decimal with nine places, so that it can be multiplied with money."""
    return Decimal(f"{number:.9f}")


@dataclass(frozen=True, slots=True)
class Point:
    """An hour as it was seen: value, and the band that was expected (None while nothing was)."""

    at: datetime
    value: float | None
    band: Band | None

    def state(self) -> list:
        band = self.band
        return [self.at.timestamp(), self.value, *((band.low, band.middle, band.high) if band else ())]

    @classmethod
    def restored(cls, state: list) -> "Point":
        return cls(datetime.fromtimestamp(state[0], UTC), state[1], Band(*state[2:]) if len(state) > 2 else None)


@dataclass
class Episode:
    """One anomaly. `usd` adds up what is known of its impact; None while nothing is."""

    started_at: datetime
    up: bool
    course: list[Point]
    last_at: datetime  # the last hour outside
    usd: Decimal | None = None
    score: float = 0.0
    calm: int = 0  # hours back inside since then
    peak: Point | None = None
    ended_at: datetime | None = None
    provisional: bool = False

    @property
    def times(self) -> float | None:
        """The peak by what was expected then; None where nothing was."""
        peak = self.peak
        if not peak or peak.value is None or not peak.band or not peak.band.middle:
            return None
        return peak.value / peak.band.middle

    def take(self, point: Point, impact: Decimal | None, score: float) -> None:
        """One more hour of it."""
        self.course.append(point)
        if impact is not None:
            self.usd = (self.usd or Decimal(0)) + impact
        self.score = max(self.score, score)
        self.calm += 1
        if point.band and not point.band.holds(point.value or 0.0):
            self.last_at, self.calm = point.at, 0
        if self.peak is None or _distance(point) > _distance(self.peak):
            self.peak = point

    def state(self) -> dict:
        return {
            "started_at": self.started_at.timestamp(),
            "up": self.up,
            "course": [point.state() for point in self.course],
            "last_at": self.last_at.timestamp(),
            "usd": None if self.usd is None else str(self.usd),
            "score": self.score,
            "calm": self.calm,
            "peak": self.peak.state() if self.peak else None,
            "ended_at": self.ended_at.timestamp() if self.ended_at else None,
        }

    @classmethod
    def restored(cls, state: dict) -> "Episode":
        ended = state["ended_at"]
        return cls(
            started_at=datetime.fromtimestamp(state["started_at"], UTC),
            up=state["up"],
            course=[Point.restored(point) for point in state["course"]],
            last_at=datetime.fromtimestamp(state["last_at"], UTC),
            usd=None if state["usd"] is None else Decimal(state["usd"]),
            score=state["score"],
            calm=state["calm"],
            peak=Point.restored(state["peak"]) if state["peak"] else None,
            ended_at=None if ended is None else datetime.fromtimestamp(ended, UTC),
        )


def _distance(point: Point) -> float:
    return abs(point.value - point.band.middle) if point.band and point.value is not None else 0.0


@dataclass
class Tracker:
    """The state of one metric of one slice: detector, band, the last hours and the latest anomaly."""

    metric: Watched
    least_usd: Decimal
    detector: Detector = field(default_factory=Detector)
    band: BandModel = field(default_factory=BandModel)
    recent: list[Point] = field(default_factory=list)
    episode: Episode | None = None

    def step(self, at: datetime, hour: Hour | None) -> Episode | None:
        """Take the next hour (None: without figures); returns the anomaly it belongs to or has just ended."""
        value = hour.value(self.metric) if hour else None
        band = self.band.expect()
        verdict = self.detector.update(at.timestamp(), value)
        point, running = Point(at, value, band), self._running
        if running is None and hour and verdict.strange and self._matters(hour, value, band):
            running = self.episode = self._begun(point)
        if running and hour and value is not None and band:
            running.take(point, hour.impact(self.metric, band.middle), verdict.score)
        usual = band.middle if running and band and value is not None else value
        self.band.learn(usual)
        self.recent = [*self.recent[1 - BEFORE :], point]
        if running:
            self._end_if_over(running, at)
        return running

    def glance(self, at: datetime, hour: Hour) -> Episode | None:
        """The anomaly that an hour which still runs has begun already; nothing is learnt from it."""
        value, band = hour.value(self.metric), self.band.expect()
        if self._running or self.metric not in GROWING or value is None or band is None or value <= band.high:
            return None
        verdict = self.detector.judge(at.timestamp(), value)
        if not verdict.strange or not self._matters(hour, value, band):
            return None
        begun = self._begun(Point(at, value, band))
        begun.provisional = True
        begun.take(Point(at, value, band), hour.impact(self.metric, band.middle), verdict.score)
        return begun

    @property
    def _running(self) -> Episode | None:
        return self.episode if self.episode and not self.episode.ended_at else None

    def _matters(self, hour: Hour, value: float | None, band: Band | None) -> bool:
        if value is None or band is None or band.holds(value):
            return False
        off = abs(value - band.middle)
        if off < LEAST_CHANGE * abs(band.middle):
            return False
        if self.metric in GROWING and self._chance(value, band.middle):
            return False
        impact = hour.impact(self.metric, band.middle)
        if impact is None:  # requests whose model calls are another slice, or none are left
            return self.metric in COUNTS
        return abs(impact) >= self.least_usd

    def _chance(self, value: float, middle: float) -> bool:
        """Whether a sum may be that far off without a reason; one event is the least that moves a count."""
        least = 1.0 if self.metric in COUNTS else 0.0
        return self.band.scatter.sigmas(value, middle, least) < SIGMAS

    def _begun(self, point: Point) -> Episode:
        up = point.band is None or (point.value or 0.0) > point.band.middle
        last = self.episode
        if last and last.ended_at and last.up == up and point.at - last.ended_at < SAME:
            last.ended_at = None
            last.course += [between for between in self.recent if between.at > last.course[-1].at]
            return last
        return Episode(point.at, up, list(self.recent), point.at)

    def _end_if_over(self, running: Episode, at: datetime) -> None:
        if at - running.started_at >= NEW_NORMAL:
            self.band.accept([point.value for point in running.course[-len(self.band.history) :]])
            running.ended_at = at + HOUR
        elif running.calm >= CALM or at - running.last_at >= SILENT:
            running.ended_at = running.last_at + HOUR

    def state(self) -> dict:
        """All that `restored` needs, as plain types."""
        return {
            "detector": self.detector.state(),
            "band": self.band.state(),
            "recent": [point.state() for point in self.recent],
            "episode": self.episode.state() if self.episode else None,
        }

    @classmethod
    def restored(cls, metric: Watched, least_usd: Decimal, state: dict) -> "Tracker":
        return cls(
            metric,
            least_usd,
            Detector.restored(state["detector"]),
            BandModel.restored(state["band"]),
            [Point.restored(point) for point in state["recent"]],
            Episode.restored(state["episode"]) if state["episode"] else None,
        )
