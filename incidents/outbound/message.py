"""What is sent, and what became of it."""

from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse

from incidents.models import Alert, Delivery

# Services cut what is longer, some refuse it.
LONGEST_BODY = 3000


@dataclass(frozen=True)
class Message:
    """A delivery ready to be sent: `links` are (label, absolute address), the first is what it is about."""

    number: str
    key: str
    kind: str
    severity: str
    route: str
    team: str
    title: str
    body: str
    happened_at: datetime
    incident: str = ""
    links: list[tuple[str, str]] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """The title with what matters most in front, e.g. "CRITICAL: Error rate above 5 %"."""
        first = self.kind if self.kind in ("resolved", "test", "digest") else self.severity
        already = self.title.casefold().startswith(f"{first}:")
        return self.title if already else f"{first.upper()}: {self.title}"

    @property
    def text(self) -> str:
        """Body and links as plain text, for people."""
        return render_to_string("incidents/sending/message.txt", {"message": self}).strip()


@dataclass(frozen=True)
class Outcome:
    """Whether it was taken; else why not in words without secrets.

    `retry_after`: seconds the service asks to wait; `final`: trying again is useless until someone mends the channel.
    """

    taken: bool
    error: str = ""
    retry_after: float | None = None
    final: bool = False


def message_of(delivery: Delivery) -> Message:
    """The message of a delivery; addresses are absolute by DESK_URL, and left out without it."""
    return Message(
        number=f"msg_{delivery.pk}",
        key=delivery.key,
        kind=delivery.kind,
        severity=delivery.severity,
        route=delivery.route,
        team=delivery.team.slug if delivery.team else "",
        title=" ".join(delivery.title.split()),  # of one line: it becomes a header
        body=delivery.body[:LONGEST_BODY],
        happened_at=delivery.happened_at,
        incident=delivery.incident.number if delivery.incident else "",
        links=_links(delivery),
    )


def _links(delivery: Delivery) -> list[tuple[str, str]]:
    found = [("Open", delivery.url)]
    if delivery.incident_id:
        found.append(("Incident", _address("incident-detail", delivery.incident_id)))
    if alert := _first_alert(delivery):
        slug, _, section = alert.runbook.partition("#")
        page = _address("runbook-detail", slug)
        found += [("Runbook", f"{page}#{section}" if page and section else page), ("Chart", alert.url)]
    wanted = {absolute(url): label for label, url in reversed(found) if absolute(url)}
    return [(label, url) for url, label in reversed(wanted.items())]


def _first_alert(delivery: Delivery) -> Alert | None:
    group = delivery.alert_group
    return group.alerts.order_by("started_at", "pk").first() if group else None


def _address(name: str, argument: object) -> str:
    """The address of a page; empty where it has none (a runbook outside of the desk has no slug)."""
    try:
        return reverse(name, args=[argument])
    except NoReverseMatch:
        return ""


def absolute(url: str) -> str:
    """`url` with the desk's own address in front where it is a path; empty where that is not known."""
    if url.startswith("/"):
        return settings.DESK_URL.rstrip("/") + url if settings.DESK_URL else ""
    return url if url.startswith(("https://", "http://")) else ""
