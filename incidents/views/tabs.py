"""The tabs of everything about alerts."""

from usage.links import tabs_of

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
    """(label, address, whether it is the current one) of each page about alerts."""
    return tabs_of(ALERTS, current)
