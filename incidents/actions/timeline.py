"""Writing the timeline of an incident."""

from datetime import datetime
from typing import Any

from accounts.models import User
from incidents.models import Incident, TimelineEntry


def record(
    incident: Incident,
    kind: str,
    text: str,
    *,
    at: datetime,
    author: User | None = None,
    url: str = "",
    data: dict[str, Any] | None = None,
    source_key: str = "",
) -> TimelineEntry:
    """One entry, in the caller's transaction. `kind` of TimelineEntry.Kind; `data`: JSON-able figures behind it.

    With a `source_key` it is written once for the incident, however often it is told.
    """
    facts = {"at": at, "kind": kind, "text": text, "author": author, "url": url, "data": data or {}}
    if not source_key:
        return TimelineEntry.objects.create(incident=incident, **facts)
    return TimelineEntry.objects.get_or_create(incident=incident, source_key=source_key, defaults=facts)[0]
