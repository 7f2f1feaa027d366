"""The tabs of everything about alerts."""

from django.urls import NoReverseMatch, reverse

ALERTS = (
    ("Alerts", "alert-list"),
    ("Rules", "rule-list"),
    ("Silences", "silence-list"),
    ("Objectives", "slo-list"),
    ("Checks", "canary-list"),
    ("On call", "oncall"),
    ("Channels", "channel-list"),
    ("Deliveries", "delivery-list"),
)


def alert_tabs(current: str) -> list[tuple[str, str, bool]]:
    """(label, address, whether it is the current one) of each page this desk has, by URL name."""
    found = []
    for label, name in ALERTS:
        try:
            found.append((label, reverse(name), name == current))
        except NoReverseMatch:
            continue
    return found
