"""Reads of postmortems: the document, the library with its search and trends, similar incidents, action items."""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from accounts.models import User
from incidents.models import ActionItem, FailureMode, Incident, Postmortem
from incidents.queries.incidents import visible_incidents
from incidents.queries.runbooks import query_words
from incidents.rules.markdown import unmarked
from incidents.rules.postmortems import SECTIONS
from incidents.rules.similar import LEAST, likeness, overlap

MODES = dict(FailureMode.choices)
YEAR = timedelta(days=365)
MOST_COMPARED = 500
_TEXT = "concat_ws(' ', i.title, i.summary, {mode}, p.title, p.summary, p.impact, p.root_cause, p.contributing)"
_MODE = "%(modes)s::jsonb ->> i.failure_mode"
_FIND = f"""
SELECT p.id, ts_rank(words, asked), ts_headline('english', concat_ws(' ', p.summary, p.root_cause, p.impact), asked,
    'MaxWords=24, MinWords=12, StartSel="", StopSel=""')
FROM incidents_postmortem p JOIN incidents_incident i ON i.id = p.incident_id,
    LATERAL to_tsvector('english', concat_ws(' ', {_TEXT.format(mode=_MODE)}, p.went_well, p.went_badly, p.luck,
        (SELECT string_agg(concat_ws(' ', a.text, a.measure), ' ') FROM incidents_actionitem a
        WHERE a.postmortem_id = p.id))) words,
    to_tsquery('english', %(query)s) asked
WHERE p.id = ANY(%(ids)s) AND words @@ asked
"""
# The share of the words of both texts that both have, by the stems of full text search.
_ALIKE = f"""
WITH texts AS (
    SELECT i.id, tsvector_to_array(to_tsvector('english', {_TEXT.format(mode="''")})) AS words
    FROM incidents_incident i LEFT JOIN incidents_postmortem p ON p.incident_id = i.id WHERE i.id = ANY(%(ids)s)
)
SELECT other.id, (SELECT count(*) FROM unnest(other.words) word WHERE word = ANY(ours.words))::float
    / greatest(1, (SELECT count(DISTINCT word) FROM unnest(other.words || ours.words) word))
FROM texts other, texts ours WHERE ours.id = %(our)s AND other.id <> %(our)s
"""


@dataclass(frozen=True)
class Similar:
    """An earlier incident that was like this one: `score` 0 to 1, `why` in words."""

    incident: Incident
    score: float
    why: str


def visible_postmortems(user: User) -> QuerySet[Postmortem]:
    """Those of the incidents that the user sees."""
    seen = visible_incidents(user).order_by().values("pk")
    return Postmortem.objects.filter(incident__in=seen).select_related("incident__team", "started_by", "submitted_by")


def without_postmortem(user: User) -> QuerySet[Incident]:
    """Resolved incidents of SEV1 and SEV2 that nobody wrote one for, those that ended first on top; no drills."""
    ended = visible_incidents(user).filter(resolved_at__isnull=False, postmortem=None, severity__lte=2)
    return ended.filter(is_drill=False, merged_into=None).order_by("resolved_at")


def search(postmortems: QuerySet[Postmortem], text: str) -> dict[int, tuple[float, str]]:
    """Postmortem id → (rank, some of its words) of those that say all these words, or words that begin so."""
    words = query_words(text)
    if not words:
        return {}
    ids = list(postmortems.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(_FIND, {"query": words, "modes": json.dumps(MODES), "ids": ids})
        return {pk: (rank, unmarked(snippet)) for pk, rank, snippet in cursor.fetchall()}


def document_of(postmortem: Postmortem) -> dict[str, Any]:
    """The whole postmortem as data: what the page, Markdown and PDF are made of, and what a version keeps."""
    incident, facts = postmortem.incident, postmortem.facts
    return {
        "number": incident.number,
        "title": postmortem.title,
        "severity": incident.get_severity_display(),
        "mode": MODES.get(incident.failure_mode, "Failure mode not known"),
        "team": str(incident.team or "Organisation"),
        "is_private": incident.is_private,
        "is_drill": incident.is_drill,
        "slice": [[name, value or "(none)"] for name, values in incident.scope.items() for value in values],
        "times": _times(postmortem),
        "clocks": facts.get("clocks", []),
        "numbers": facts.get("numbers", []),
        "charts": facts.get("charts", []),
        "timeline": facts.get("timeline", []),
        "left_out": facts.get("left_out", 0),
        "facts_at": postmortem.facts_at.isoformat(),
        "sections": [[name, title, getattr(postmortem, name)] for name, title, _ in SECTIONS],
        "whys": postmortem.whys,
        "items": [_item(item) for item in postmortem.items.select_related("owner")],
        "author": str(postmortem.submitted_by or postmortem.edited_by or postmortem.started_by or ""),
    }


def _times(postmortem: Postmortem) -> list[list[str | None]]:
    """[label, ISO time or None] from the beginning of the impact to the end."""
    known = postmortem.facts.get("times", {})
    recovered = postmortem.recovered_at.isoformat() if postmortem.recovered_at else known.get("mitigated_at")
    return [
        ["Impact began", known.get("impact_started_at")],
        ["Detected", known.get("detected_at")],
        ["Acknowledged", known.get("acknowledged_at")],
        ["Mitigated", known.get("mitigated_at")],
        ["Recovered", recovered],
        ["Resolved", known.get("resolved_at")],
    ]


def _item(item: ActionItem) -> dict[str, Any]:
    return {
        "kind": item.get_kind_display(),
        "text": item.text,
        "owner": str(item.owner) if item.owner else "",
        "due": item.due.isoformat() if item.due else "",
        "measure": item.measure,
        "state": item.get_state_display(),
    }


# --- Repeats and trends -------------------------------------------------------------------------------------------
def similar_to(user: User, incident: Incident) -> list[Similar]:
    """Earlier incidents of a year that were like this one, the most alike first; drills are compared with none."""
    earlier = visible_incidents(user).filter(
        detected_at__lt=incident.detected_at,
        detected_at__gte=incident.detected_at - YEAR,
        is_drill=False,
        merged_into=None,
    )
    others = {one.pk: one for one in earlier.exclude(pk=incident.pk).order_by("-detected_at")[:MOST_COMPARED]}
    if not others:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_ALIKE, {"ids": [incident.pk, *others], "our": incident.pk})
        found = [_likeness(incident, others[pk], texts) for pk, texts in cursor.fetchall()]
    return sorted((one for one in found if one.score >= LEAST), key=lambda one: one.score, reverse=True)[:5]


def _likeness(ours: Incident, other: Incident, texts: float) -> Similar:
    same, slices = bool(ours.failure_mode) and ours.failure_mode == other.failure_mode, overlap(ours.scope, other.scope)
    parts = [
        ("same failure mode", same),
        (f"{slices:.0%} of the slice", slices),
        (f"{texts:.0%} of the words", texts > 0.1),
    ]
    why = ", ".join(text for text, counts in parts if counts)
    return Similar(other, likeness(same, slices, texts), why)


@dataclass(frozen=True)
class Trend:
    """Incidents of one failure mode by month (oldest first), and how long the middle one took to mitigate (seconds)."""

    mode: str
    label: str
    by_month: list[int]
    to_mitigate: float | None

    @property
    def total(self) -> int:
        return sum(self.by_month)


def trends(user: User, today: date, months: int = 6) -> tuple[list[str], list[Trend]]:
    """The last months ("2026-11") and the failure modes that had incidents in them, most first. Drills do not count."""
    names = _months(today, months)
    begin = datetime.fromisoformat(f"{names[0]}-01T00:00:00+00:00")
    rows = visible_incidents(user).filter(detected_at__gte=begin, is_drill=False, merged_into=None).order_by()
    by_mode: dict[str, list[tuple[str, float | None]]] = {}
    for mode, detected, mitigated in rows.values_list("failure_mode", "detected_at", "mitigated_at"):
        took = (mitigated - detected).total_seconds() if mitigated else None
        by_mode.setdefault(mode, []).append((f"{detected:%Y-%m}", took))
    found = [_trend(mode, incidents, names) for mode, incidents in by_mode.items()]
    return names, sorted(found, key=lambda trend: -trend.total)


def _trend(mode: str, incidents: list[tuple[str, float | None]], months: list[str]) -> Trend:
    counts = Counter(month for month, _ in incidents)
    took = sorted(seconds for _, seconds in incidents if seconds is not None)
    middle = took[(len(took) - 1) // 2] if took else None
    return Trend(mode, MODES.get(mode, "Not known yet"), [counts[month] for month in months], middle)


def _months(today: date, number: int) -> list[str]:
    last = today.year * 12 + today.month - 1
    return [f"{month // 12}-{month % 12 + 1:02d}" for month in range(last - number + 1, last + 1)]


# --- Action items -------------------------------------------------------------------------------------------------
def visible_items(user: User) -> QuerySet[ActionItem]:
    """Of the postmortems that the user sees; those due first on top, without a date last."""
    seen = visible_postmortems(user).order_by().values("pk")
    items = ActionItem.objects.filter(postmortem__in=seen).select_related("postmortem__incident__team", "owner", "rule")
    return items.select_related("runbook_version__runbook").order_by("due", "id")


def overdue(today: date) -> Q:
    return Q(closed_at=None, due__lt=today)
