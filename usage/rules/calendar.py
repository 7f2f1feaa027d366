"""Which times are taken from people and programs."""

from datetime import datetime

YEARS = range(2000, 2201)


def is_plausible(moment: datetime) -> bool:
    """Whether a time can be meant. Those at the ends of the calendar cannot even be shown in another zone."""
    return moment.year in YEARS
