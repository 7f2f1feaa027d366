"""Weeks of the review and the findings it names: pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from aiops_site import formats

WEEK = timedelta(weeks=1)
Value = Decimal | float | int | None


@dataclass(frozen=True)
class Week:
    """An ISO week of UTC, so that everybody reviews the same one."""

    monday: date

    @property
    def start(self) -> datetime:
        return datetime(self.monday.year, self.monday.month, self.monday.day, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        return self.start + WEEK

    @property
    def name(self) -> str:
        """E.g. "2026-W47"."""
        return f"{self.monday:%G-W%V}"

    @property
    def label(self) -> str:
        last = self.monday + timedelta(days=6)
        return f"{self.monday:%-d %B} to {last:%-d %B %Y}"

    @property
    def before(self) -> "Week":
        return Week(self.monday - WEEK)

    @property
    def after(self) -> "Week":
        return Week(self.monday + WEEK)


def week_of(text: str, now: datetime) -> Week:
    """The week of that name; the last whole one where it names none that has begun, or none that a calendar has."""
    current = now.astimezone(UTC).date()
    current -= timedelta(days=current.weekday())
    try:
        monday = datetime.strptime(f"{text}-1", "%G-W%V-%u").date()
    except ValueError:
        return Week(current - WEEK)
    return Week(monday) if date(2000, 1, 3) <= monday <= current else Week(current - WEEK)


@dataclass(frozen=True)
class Line:
    """A row of a table of the largest: `names` in its columns, this week's figure, and that of the week before."""

    names: tuple[str, ...]
    value: Value
    before: Value
    url: str


def largest(
    now: Iterable[tuple[tuple[str, ...], Value]],
    before: dict[tuple[str, ...], Any],
    most: int,
    address: Callable[[tuple[str, ...]], str],
) -> list[Line]:
    """The largest figures that are known and not 0, each with that of the week before (None: there was none).

    `address` gives the page behind the figure of these names.
    """
    known = [(key, value) for key, value in now if value]
    known.sort(key=lambda pair: (-Decimal(str(pair[1])), pair[0]))
    return [Line(key, value, before.get(key), address(key)) for key, value in known[:most]]


def trend(name: str, value: Value, before: Value, unit: str, worst: tuple[datetime, Value] | None) -> str:
    """E.g. "Error rate 0.8 %, 0.5 % the week before; worst on Tuesday with 1.9 %"."""
    if value is None:
        return f"{name}: nothing to judge in this week"
    said = f"{name} {formats.figure(value, unit)}"
    if before is not None:
        said += f", {formats.figure(before, unit)} the week before"
    if worst and worst[1]:
        said += f"; worst on {worst[0]:%A} with {formats.figure(worst[1], unit)}"
    return said
