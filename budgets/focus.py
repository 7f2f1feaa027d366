"""The FOCUS export as CSV, line by line."""

import csv
from collections.abc import Collection, Iterator
from datetime import datetime

from accounts.models import Team
from budgets.queries.focus import charges
from budgets.rules.focus import COLUMNS, lines_of
from budgets.rules.months import days_of, month_of


class Echo:
    """A file that hands back what is written, for csv writers of streamed answers."""

    def write(self, text: str) -> str:
        return text


def focus_lines(teams: Collection[Team], start: datetime, end: datetime, now: datetime) -> Iterator[str]:
    """The head, then every charge of the UTC days in [start, end)."""
    writer = csv.DictWriter(Echo(), COLUMNS)
    yield csv.writer(Echo()).writerow(COLUMNS)
    for charge in charges(teams, start, end, now):
        for line in lines_of(charge):
            yield writer.writerow(line)


def focus_window(month: str, start: str, end: str, now: datetime) -> tuple[datetime, datetime]:
    """The days asked for, by `month` or by `start` and `end`; by default the current month.

    Raises ValueError that says what to write instead.
    """
    if month and (start or end):
        raise ValueError("month is one window, start and end are another: send one of them.")
    if start or end:
        return days_of(start, end)
    return month_of(month, now)


def focus_name(start: datetime, end: datetime) -> str:
    return f"focus_{start:%Y-%m-%d}_{end:%Y-%m-%d}.csv"
