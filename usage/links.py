"""Addresses of pages of this room, for rooms that link to them."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from django.urls import reverse

from usage.rules.spend import Window

UNTAGGED = "(none)"


def explain_url(
    metric: str = "spend",
    window: Window | None = None,
    before: Window | None = None,
    compare: str = "",
    team: str = "",
    filters: dict[str, tuple[str, ...]] | None = None,
) -> str:
    """The page that explains a change.

    metric: a name of usage.queries.explained.EXPLAINED. before: the window compared with; without one, `compare` is
    "week" (the default) or "previous". filters: dimension → values, "" for none. Without a window: the last 24 hours.
    """
    pairs = [("metric", metric)]
    for names, chosen in ((("from", "to"), window), (("base_from", "base_to"), before)):
        pairs += [
            (name, _iso(at)) for name, at in zip(names, (chosen.start, chosen.end) if chosen else (), strict=False)
        ]
    pairs += [(name, text) for name, text in (("compare", compare), ("team", team)) if text]
    pairs += [(name, value or UNTAGGED) for name, values in (filters or {}).items() for value in values]
    return f"{reverse('spend-explain')}?{urlencode(pairs)}"


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
