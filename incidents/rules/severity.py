"""The severity of an incident (DOMAIN: incidents): the criteria in words, and what the figures suggest. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from aiops_site import formats

# Fewer requests than this say nothing about shares and percentiles.
LEAST_REQUESTS = 20
HALF, QUARTER = Decimal("0.5"), Decimal("1.25")
QUALITY_BAD, QUALITY_MINOR = Decimal("0.2"), Decimal("0.05")
FAILING_MINOR = Decimal("0.02")
DOUBLE = Decimal(2)


@dataclass(frozen=True)
class Criterion:
    """One severity: what it means, what it is answered with."""

    severity: int
    means: str
    response: str

    @property
    def name(self) -> str:
        return f"SEV{self.severity}"


CRITERIA = (
    Criterion(1, "Outage, data leak or unsafe tool action; more than half of the requests fail", "At once, all hands"),
    Criterion(
        2,
        "Quality down by more than 20 %, a major feature broken, p95 doubled, cost above 200 % of normal",
        "Within 1 h, primary team",
    ),
    Criterion(
        3,
        "Minor quality loss, latency up, one tenant or one tool, a workaround exists",
        "Within 4 h, business hours",
    ),
    Criterion(4, "Cosmetic, a question, an alert without user impact", "Next business day"),
)


@dataclass(frozen=True)
class Readings:
    """Figures of the incident's slice and time; None is unknown.

    requests: how many, or model calls, as `noun` says. failing, usual_failing: share of them that fail, now and
    usually. worst_feature: (name, share that fails, of how many). p95_ratio, cost_ratio: now by usual. quality_drop:
    (measure, relative fall: 0.2 is 20 %).
    """

    requests: int = 0
    noun: str = "requests"
    failing: Decimal | None = None
    usual_failing: Decimal | None = None
    worst_feature: tuple[str, Decimal, int] | None = None
    p95_ratio: Decimal | None = None
    cost_ratio: Decimal | None = None
    quality_drop: tuple[str, Decimal] | None = None


@dataclass(frozen=True)
class Suggestion:
    """The severity that the figures suggest, and each figure behind it: (severity it speaks for, words)."""

    severity: int
    reasons: list[tuple[int, str]]

    @property
    def name(self) -> str:
        return f"SEV{self.severity}"


def suggest(readings: Readings) -> Suggestion | None:
    """The worst severity that any figure speaks for; SEV4 where all are as usual, None where nothing is known."""
    rules: tuple[Callable[[Readings], tuple[int, str] | None], ...] = (_failing, _feature, _latency, _cost, _quality)
    reasons = [found for rule in rules if (found := rule(readings))]
    if not reasons:
        return None
    return Suggestion(min(severity for severity, _ in reasons), sorted(reasons, key=lambda one: one[0]))


def _failing(readings: Readings) -> tuple[int, str] | None:
    share, usual = readings.failing, readings.usual_failing
    if share is None or readings.requests < LEAST_REQUESTS:
        return None
    words = f"{formats.percent(share)} of {formats.exact(readings.requests)} {readings.noun} fail"
    words += f", usually {formats.percent(usual)}" if usual is not None else ""
    if share > HALF:
        return 1, words
    return (3 if share >= max(FAILING_MINOR, 2 * (usual or Decimal(0))) else 4), words


def _feature(readings: Readings) -> tuple[int, str] | None:
    """A feature most of whose requests fail is broken."""
    if readings.worst_feature is None:
        return None
    name, share, requests = readings.worst_feature
    if share <= HALF or requests < LEAST_REQUESTS:
        return None
    return 2, f"{formats.percent(share)} of {formats.exact(requests)} {readings.noun} of {name} fail"


def _latency(readings: Readings) -> tuple[int, str] | None:
    if readings.p95_ratio is None or readings.requests < LEAST_REQUESTS:
        return None
    return _by_ratio(readings.p95_ratio), f"p95 is {_times(readings.p95_ratio)} its usual"


def _cost(readings: Readings) -> tuple[int, str] | None:
    if readings.cost_ratio is None:
        return None
    return _by_ratio(readings.cost_ratio), f"Cost is {formats.percent(readings.cost_ratio)} of normal"


def _by_ratio(ratio: Decimal) -> int:
    return 2 if ratio >= DOUBLE else 3 if ratio >= QUARTER else 4


def _quality(readings: Readings) -> tuple[int, str] | None:
    if readings.quality_drop is None:
        return None
    measure, drop = readings.quality_drop
    severity = 2 if drop > QUALITY_BAD else 3 if drop > QUALITY_MINOR else 4
    words = f"{formats.percent(drop)} below its usual" if drop > 0 else "as usual or better"
    return severity, f"{measure} is {words}"


def _times(ratio: Decimal) -> str:
    return f"{formats.plain(formats.significant(ratio, 2))} times"
