"""What an alert of Prometheus Alertmanager means here: severity, route, runbook, and which episode it is of.

An episode is a fingerprint with one startsAt. Notifications repeat, come late and overtake each other, so not the order
of arrival decides but startsAt and what is known of the episode.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import Enum

SEVERITIES = {
    "critical": ("critical", "page", "error", "fatal", "emergency", "p1", "sev1", "high"),
    "warning": ("warning", "warn", "major", "medium", "p2", "p3", "sev2", "sev3"),
    "info": ("info", "information", "informational", "notice", "none", "low", "minor", "p4", "p5", "sev4"),
}
ROUTES = {"critical": "page", "warning": "ticket", "info": "report"}
DEFAULT_RUNBOOK = "tool-incident#containment"
SECTION = "containment"
# A label of the desk: which group of Alertmanager an alert came in. Names that begin with __ are not used by senders.
GROUP_LABEL = "__group__"


class Doing(Enum):
    """What to do about an episode."""

    OPEN = "opened"
    KEEP = "updated"
    CLOSE = "resolved"
    NOTE = "noted"  # it began and ended before we heard of it
    IGNORE = "ignored"


def severity_of(labels: Mapping[str, str]) -> str:
    """By the label `severity` (or `priority`); warning where it says nothing that is known."""
    said = (labels.get("severity") or labels.get("priority") or "").strip().lower()
    return next((ours for ours, theirs in SEVERITIES.items() if said in theirs), "warning")


def route_of(labels: Mapping[str, str], severity: str) -> str:
    """The label `route` where it is page, ticket or report; else by severity."""
    said = labels.get("route", "").strip().lower()
    return said if said in ROUTES.values() else ROUTES[severity]


def runbook_of(named: Mapping[str, str], known: Collection[str]) -> str:
    """ "slug#section" by the annotation or label `runbook`, or a `runbook_url` that ends in /runbooks/slug/#section.

    `known`: slugs of the desk's runbooks. Others are external, and the alert gets the default section.
    """
    for text in (named.get("runbook", ""), named.get("runbook_url", "").rpartition("/runbooks/")[2]):
        slug, _, section = text.strip().partition("#")
        if slug.strip("/") in known:
            return f"{slug.strip('/')}#{section or SECTION}"
    return DEFAULT_RUNBOOK


def decide(*, firing: bool, starts_at: datetime, known: Mapping[datetime, bool]) -> Doing:
    """What a notification means. `known`: episodes of this fingerprint by their start; True: open."""
    if starts_at in known:
        if not known[starts_at]:
            return Doing.IGNORE
        return Doing.KEEP if firing else Doing.CLOSE
    if not firing:
        return Doing.NOTE
    newer = any(start > starts_at for start in known)
    return Doing.IGNORE if newer else Doing.OPEN


def supersedes(starts_at: datetime, known: Mapping[datetime, bool]) -> bool:
    """Whether an older episode is taken for open that must be over, as this one began after it."""
    return any(is_open and start < starts_at for start, is_open in known.items())
