"""Addresses of pages of this room, for rooms that link to them."""

from collections.abc import Iterable
from urllib.parse import urlencode

from django.urls import reverse

from aiops_site import formats
from usage.rules.spend import Window

UNTAGGED = "(none)"


def tabs_of(names: Iterable[tuple[str, str]], current: str) -> list[tuple[str, str, bool]]:
    """(label, address, whether it is `current`) of each (label, URL name), for `components/tabs.html`."""
    return [(label, reverse(name), name == current) for label, name in names]


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
            (name, formats.iso(at))
            for name, at in zip(names, (chosen.start, chosen.end) if chosen else (), strict=False)
        ]
    pairs += [(name, text) for name, text in (("compare", compare), ("team", team)) if text]
    pairs += [(name, value or UNTAGGED) for name, values in (filters or {}).items() for value in values]
    return f"{reverse('spend-explain')}?{urlencode(pairs)}"
