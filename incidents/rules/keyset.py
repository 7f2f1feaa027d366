"""Keyset pages: where a page of rows ordered by time and id goes on. Pure."""

from datetime import datetime


def mark(at: datetime, pk: int) -> str:
    """The place of a row, for a URL: "2026-05-04T12:00:00.000001+00:00_17"."""
    return f"{at.isoformat()}_{pk}"


def place(text: str) -> tuple[datetime, int] | None:
    """What `mark` wrote; None for anything else."""
    moment, _, number = text.replace(" ", "+").rpartition("_")
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        return None
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (at, int(number)) if at.tzinfo and 2000 <= at.year <= 2200 else None
