"""How postmortems say months and lengths."""

from datetime import datetime

from django import template

from aiops_site import formats

register = template.Library()


@register.filter
def month_name(text: str) -> str:
    """ "2026-11" is Nov 2026."""
    return f"{datetime.fromisoformat(f'{text}-01'):%b %Y}"


@register.filter
def seconds_text(seconds: float | None) -> str:
    """4,320 seconds are 1 h 12 min; None is unknown."""
    return formats.UNKNOWN if seconds is None else formats.long_duration(int(seconds))
