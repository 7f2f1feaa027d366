"""Pages of a timeline, and the whole of it for export."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from aiops_site import formats
from incidents.models import Incident, IncidentImage, TimelineEntry
from incidents.rules.keyset import mark, place

PAGE = 50


@dataclass(frozen=True)
class Page:
    """Entries, the newest first; `older` is the place where the next page begins, "" at the end."""

    entries: list[TimelineEntry]
    older: str


def entries_of(incident: Incident) -> QuerySet[TimelineEntry]:
    pictured = Exists(IncidentImage.objects.filter(entry=OuterRef("pk")))
    return incident.timeline.select_related("author").annotate(has_image=pictured)


def page_of(incident: Incident, before: str = "", kind: str = "") -> Page:
    """One page by key: as fast at the 5,000th entry as at the first."""
    found = entries_of(incident).order_by("-at", "-id")
    if kind in TimelineEntry.Kind.values:
        found = found.filter(kind=kind)
    if (after := place(before)) is not None:
        found = found.filter(Q(at__lt=after[0]) | Q(at=after[0], pk__lt=after[1]))
    rows = list(found[: PAGE + 1])
    return Page(rows[:PAGE], mark(rows[PAGE - 1].at, rows[PAGE - 1].pk) if len(rows) > PAGE else "")


def changes_since(incident: Incident, version: int) -> list[TimelineEntry]:
    """What changed the incident after it was at `version`, oldest first."""
    return list(
        incident.timeline.filter(data__version__gt=version).select_related("author").order_by("data__version", "id")
    )


def as_json(incident: Incident) -> dict[str, Any]:
    """The incident and its whole timeline, oldest first; times in UTC."""
    times = ("impact_started_at", "detected_at", "acknowledged_at", "mitigated_at", "resolved_at", "learned_at")
    return {
        "incident": incident.number,
        "title": incident.title,
        "severity": incident.get_severity_display(),
        "state": incident.state,
        "failure_mode": incident.failure_mode or None,
        "scope": incident.scope,
        "summary": incident.summary,
        **{name: formats.iso(at) if (at := getattr(incident, name)) else None for name in times},
        "timeline": [entry_json(entry) for entry in _oldest_first(incident)],
    }


def entry_json(entry: TimelineEntry) -> dict[str, Any]:
    return {
        "id": entry.pk,
        "at": formats.iso(entry.at),
        "kind": entry.kind,
        "text": entry.text,
        "by": entry.by,
        "url": entry.url or None,
        "struck_out": entry.struck_at is not None,
        "data": entry.data,
    }


def _oldest_first(incident: Incident) -> Iterator[TimelineEntry]:
    return incident.timeline.select_related("author").order_by("at", "id").iterator(chunk_size=1000)


def as_markdown(incident: Incident) -> str:
    """The same to be read: a table by time. What people wrote is escaped, so that it stays text."""
    head = [f"# {incident.number} {plain(incident.title)}", ""]
    head += [f"{incident.get_severity_display()} · {incident.get_state_display()} · times in UTC", ""]
    rows = ["| Time | Kind | What | By |", "|---|---|---|---|"]
    for entry in _oldest_first(incident):
        rows.append(
            f"| {entry.at:%Y-%m-%d %H:%M:%S} | {entry.get_kind_display()} | {struck(entry, plain(entry.text))}"
            f" | {plain(entry.by)} |"
        )
    return "\n".join([*head, *rows, ""])


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line of a table."""
    escaped = "".join(f"\\{sign}" if sign in "\\`*_{}[]()#+!|~-" else sign for sign in text)
    return " ".join(escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def struck(entry: TimelineEntry, text: str) -> str:
    return f"~~{text}~~" if entry.struck_at else text
