"""The tabs of everything that tells people: alerts, what raises them, whom they reach."""

from django.urls import NoReverseMatch, reverse

TABS = (
    ("Alerts", "alert-list"),
    ("Rules", "rule-list"),
    ("Objectives", "slo-list"),
    ("Checks", "canary-list"),
    ("Silences", "silence-list"),
    ("On-call", "oncall"),
    ("Channels", "channel-list"),
)


def alert_tabs(current: str) -> list[tuple[str, str, bool]]:
    """(label, address, whether it is `current`, a URL name) of those pages that this desk has."""
    return [(label, url, name == current) for label, name in TABS if (url := _address(name))]


def _address(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""
