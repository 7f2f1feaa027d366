"""What a metric query asks for, checked when it is made."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from usage.measures import DIMENSIONS, NARROW_DIMENSIONS
from usage.metrics.catalogue import CATALOGUE
from usage.metrics.window import SHORTEST, STEPS

DIMENSION_NAMES = ("team", *DIMENSIONS, "tenant")
MAX_POINTS = 2_000
UTC_ZONE = ZoneInfo("UTC")


class QueryError(ValueError):
    """A query that cannot be answered; `field` names what to change and the message says how."""

    def __init__(self, field_name: str, message: str) -> None:
        super().__init__(message)
        self.field = field_name


@dataclass(frozen=True)
class MetricQuery:
    """What to read.

    start, end: aware datetimes, end exclusive; snapped outward to whole minutes, to whole steps where there is a step,
    and to whole hours or days where finer roll-ups are no longer kept. So a day of a zone that is not whole hours from
    UTC begins at the next whole hour once its minutes are gone, and every day at 0:00 UTC once its hours are.
    team_ids: None means every team (only for callers that may see all). filters: dimension → accepted values.
    """

    metrics: tuple[str, ...]
    start: datetime
    end: datetime
    step: str | None = None
    group_by: tuple[str, ...] = ()
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    team_ids: tuple[int, ...] | None = None
    zone: ZoneInfo = UTC_ZONE
    excluded: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_names(self)
        _check_window(self)

    @property
    def by_tenant(self) -> bool:
        return "tenant" in self.group_by or "tenant" in self.filters

    def shifted(self, start: datetime) -> "MetricQuery":
        """The same query over a window as long, starting at `start`."""
        return replace(self, start=start, end=start + (self.end - self.start))


def _check_names(q: MetricQuery) -> None:
    for name in q.metrics:
        if name not in CATALOGUE:
            raise QueryError("metric", f"There is no metric {name!r}. Known metrics: {', '.join(CATALOGUE)}.")
    for field_name, names in (("group_by", q.group_by), ("filters", tuple(q.filters))):
        for name in names:
            if name not in DIMENSION_NAMES:
                raise QueryError(field_name, f"There is no dimension {name!r}. Known: {', '.join(DIMENSION_NAMES)}.")
    for name in q.excluded:
        if name not in DIMENSIONS:
            raise QueryError("excluded", f"{name!r} cannot be left out. Known: {', '.join(DIMENSIONS)}.")
    if q.by_tenant and (wide := {*q.group_by, *q.filters, *q.excluded} - NARROW_DIMENSIONS - {"team", "tenant"}):
        raise QueryError(
            "group_by",
            f"Figures by tenant are not kept by {', '.join(sorted(wide))}. Combine tenant with "
            f"{', '.join(sorted(NARROW_DIMENSIONS))} or team.",
        )


def _check_window(q: MetricQuery) -> None:
    if q.start.tzinfo is None or q.end.tzinfo is None:
        raise QueryError("start", "Times need a zone, e.g. 2026-01-31T00:00:00Z.")
    if q.end <= q.start:
        raise QueryError("end", "The end of the window must be after its start.")
    if q.step is not None and q.step not in STEPS:
        raise QueryError("step", f"There is no step {q.step!r}. Known: {', '.join(STEPS)}.")
    if q.step and (q.end - q.start) / SHORTEST[q.step] > MAX_POINTS:
        raise QueryError("step", f"That is more than {MAX_POINTS} points. Use a wider step or a shorter window.")
