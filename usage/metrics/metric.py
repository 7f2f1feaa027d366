"""What a metric is made of: its parts, and how they become one figure."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["count", "USD", "tokens", "ms", "ratio"]


@dataclass(frozen=True, eq=False)
class Sum:
    """Sum of roll-up measures over the rows whose series meets `where` (SQL on the alias s; empty: all).

    The catalogue makes each once: an answer looks its sums up many thousand times, and by identity that costs little.
    """

    measures: tuple[str, ...]
    where: str = ""

    def sql(self) -> str:
        total = " + ".join(f"coalesce(sum(r.{measure}){self._filter()}, 0)" for measure in self.measures)
        return f"({total})"

    def _filter(self) -> str:
        return f" FILTER (WHERE {self.where})" if self.where else ""


@dataclass(frozen=True)
class Percentile:
    """Quantile of a latency histogram over the rows whose series meets `where`."""

    histogram: Literal["latency", "ttft", "queue"]
    quantile: float
    where: str = ""


@dataclass(frozen=True)
class Distinct:
    """How many distinct ids a sketch counted over the rows whose series meets `where` (usage.sketch)."""

    sketch: Literal["conversation"]
    where: str = ""


@dataclass(frozen=True)
class Peak:
    """Calls or tokens of the busiest minute, as a share of the providers' limits (usage.metrics.quota)."""

    of: Literal["requests", "tokens"]


@dataclass(frozen=True)
class Metric:
    """One figure of the catalogue.

    `value` is a sum, a percentile, a count of distinct ids or a peak. With `per`, it is divided by that sum or count
    (None where that is 0); with `per_time` = "minute" or "hour", by the length of the bucket. `known` (a sum) says how
    many events know the value: where it is 0 while `unknown` is not, the value is None, never 0.
    """

    name: str
    label: str
    unit: Unit
    description: str
    value: Sum | Percentile | Distinct | Peak
    per: Sum | Distinct | None = None
    per_time: Literal["", "ms", "minute", "hour"] = ""
    scale: int = 1
    better: Literal["up", "down", ""] = ""
    known: Sum | None = None
    unknown: Sum | None = None
