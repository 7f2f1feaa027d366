"""The health score, 0 to 100: a pure rule, spelled out on the page itself.

Each part goes in a straight line from 100 at its good end to 0 at its bad end; an unknown part, or one of fewer than
`rules.FEWEST` answers, is left out and said to be. The score is the mean of the parts there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aiops_site.product.rules import FEWEST, Value


@dataclass(frozen=True)
class Scale:
    """`good` scores 100 and `bad` scores 0; either may be the larger. `n` is the metric of its sample."""

    metric: str
    label: str
    good: float
    bad: float
    n: str

    def score(self, value: Value) -> float | None:
        """0 to 100; None where the value is unknown."""
        if value is None:
            return None
        return 100 * min(max((float(value) - self.bad) / (self.good - self.bad), 0.0), 1.0)


# The bad ends are those of the shipped alerts where there is one, else a level nobody would release with.
QUALITY = (
    Scale("refusal_rate", "refusals", 0.0, 0.10, "refusal_checks"),
    Scale("citation_coverage", "citation coverage", 1.0, 0.5, "citation_checks"),
    Scale("schema_validity", "schema validity", 1.0, 0.9, "schema_checks"),
    Scale("empty_retrieval_rate", "empty retrieval", 0.0, 0.20, "retrieval_checks"),
    Scale("tool_failure_rate", "tool failures", 0.0, 0.10, "tool_executions"),
    Scale("feedback_score", "thumbs up", 1.0, 0.5, "feedback_count"),
)
ERRORS = Scale("error_rate", "failed requests", 0.0, 0.05, "requests")
# Against the usual figure: as much is 100, twice as much is 0. Features differ too much for one absolute limit.
LATENCY = Scale("latency_p95", "p95 latency against usual", 1.0, 2.0, "requests")
COST = Scale("cost_per_success", "cost per success against usual", 1.0, 2.0, "requests")
METRICS = tuple(dict.fromkeys(name for scale in (*QUALITY, ERRORS, LATENCY, COST) for name in (scale.metric, scale.n)))

Figures = Mapping[str, Value]


@dataclass(frozen=True)
class Part:
    """One part of the score; `score` is None where it is left out, and `why` says how it came about."""

    label: str
    score: float | None
    why: str
    scales: tuple[tuple[Scale, float], ...] = ()


@dataclass(frozen=True)
class Health:
    """The score (None without any known part) and its parts."""

    score: float | None
    parts: tuple[Part, ...]

    @property
    def missing(self) -> list[Part]:
        return [part for part in self.parts if part.score is None]


def measure(now: Figures, usual: Figures) -> Health:
    """The score of `now`; `usual` are the same figures over the days it is held against. Both have METRICS."""
    parts = (_quality(now), _errors(now), _against("Latency", LATENCY, now, usual), _against("Cost", COST, now, usual))
    known = [part.score for part in parts if part.score is not None]
    return Health(sum(known) / len(known) if known else None, parts)


def _quality(now: Figures) -> Part:
    scored = [
        (scale, score)
        for scale in QUALITY
        if (now[scale.n] or 0) >= FEWEST and (score := scale.score(now[scale.metric])) is not None
    ]
    if not scored:
        return Part("Response quality", None, f"no quality signal of at least {FEWEST} answers")
    why = f"mean of {len(scored)} of {len(QUALITY)} signals"
    return Part("Response quality", sum(score for _, score in scored) / len(scored), why, tuple(scored))


def _errors(now: Figures) -> Part:
    if (now[ERRORS.n] or 0) < FEWEST:
        return Part("Errors", None, f"fewer than {FEWEST} requests")
    return Part("Errors", ERRORS.score(now[ERRORS.metric]), "100 without a failed request, 0 from 5 % on")


def _against(label: str, scale: Scale, now: Figures, usual: Figures) -> Part:
    if min(now[scale.n] or 0, usual[scale.n] or 0) < FEWEST:
        return Part(label, None, f"fewer than {FEWEST} requests now or in the days before")
    if now[scale.metric] is None or not usual[scale.metric]:
        return Part(label, None, "unknown now or in the days before")
    ratio = float(now[scale.metric]) / float(usual[scale.metric])
    return Part(label, scale.score(ratio), f"{ratio:.2f} times the usual; 100 up to 1, 0 from 2 on")
