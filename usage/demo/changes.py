"""Releases, prompts, indexes and flags of the demo teams over the window: the change markers, and what events carry.

Markers and events read the same table, so a version on an event always has its marker on the chart.
"""

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from usage.demo.cast import FEATURES
from usage.demo.stories import BLOAT, RETRIEVAL

_BEFORE = timedelta(days=-400)


@dataclass(frozen=True, slots=True)
class Change:
    """One change marker; `offset` counts from the window's end; `subject` is the feature or service."""

    kind: str
    offset: timedelta
    team: str
    subject: str
    ref: str
    title: str


def _days(days: float, hours: float = 0) -> timedelta:
    return timedelta(days=-days, hours=hours)


# Versions that run when the window opens: no marker, they were changed before it.
_FIRST = (
    ("deploy", "support-api", "4.17.2"),
    ("deploy", "triage-worker", "2.8.0"),
    ("deploy", "answers", "1.42.0"),
    ("deploy", "search-api", "7.3.1"),
    ("deploy", "completion-gw", "0.31.0"),
    ("deploy", "review-bot", "0.12.4"),
    ("deploy", "docs-bot", "1.5.0"),
    ("deploy", "campaigns", "3.9.0"),
    ("deploy", "scoring-jobs", "2.2.1"),
    ("prompt", "answer-drafting", "v12"),
    ("prompt", "chat-assistant", "v7"),
    ("prompt", "ticket-triage", "v4"),
    ("prompt", "answer-box", "v21"),
    ("prompt", "research-agent", "v5"),
    ("prompt", "code-completion", "v3"),
    ("prompt", "code-review", "v9"),
    ("prompt", "docs-chat", "v2"),
    ("prompt", "email-copy", "v11"),
    ("prompt", "lead-scoring", "v6"),
    ("prompt", "ad-variants", "v8"),
    ("retrieval", "answer-drafting", "kb-118"),
    ("retrieval", "chat-assistant", "kb-118"),
    ("retrieval", "answer-box", "web-305"),
    ("retrieval", "site-search", "web-305"),
    ("retrieval", "research-agent", "web-305"),
    ("retrieval", "docs-chat", "docs-44"),
)

_REBUILD = RETRIEVAL.starts
_RESTORE = RETRIEVAL.ends

CHANGES = (
    Change("deploy", _days(27.2), "support", "support-api", "4.18.0", "support-api 4.18.0"),
    Change("deploy", _days(25.1), "coding", "completion-gw", "0.32.0", "completion-gw 0.32.0: shorter time-outs"),
    Change("prompt", _days(24.3), "growth", "email-copy", "v12", "email-copy prompt v12"),
    Change("deploy", _days(22.9), "search", "answers", "1.43.0", "answers 1.43.0"),
    Change("prompt", _days(20.4), "support", "answer-drafting", "v13", "answer-drafting prompt v13"),
    Change("deploy", _days(18.0), "growth", "campaigns", "3.10.0", "campaigns 3.10.0"),
    Change(
        "flag", _days(16.1), "search", "research-agent", "deep-research", "Flag deep-research on for half the users"
    ),
    Change("deploy", _days(13.2), "support", "support-api", "4.19.0", "support-api 4.19.0"),
    Change("retrieval", _days(11.6), "search", "answer-box", "web-306", "Web index web-306"),
    Change("retrieval", _days(11.6), "search", "site-search", "web-306", "Web index web-306"),
    Change(
        "prompt", BLOAT.starts, "support", "answer-drafting", "v14", "answer-drafting prompt v14: full case history"
    ),
    Change("prompt", BLOAT.ends, "support", "answer-drafting", "v13", "Roll-back of answer-drafting to prompt v13"),
    Change("deploy", _days(6.3), "coding", "review-bot", "0.13.0", "review-bot 0.13.0"),
    Change("prompt", _days(5.2), "support", "answer-drafting", "v15", "answer-drafting prompt v15: short case history"),
    Change("deploy", _days(4.9), "search", "search-api", "7.4.0", "search-api 7.4.0"),
    Change("model", _days(3.3), "support", "ticket-triage", "gpt-4o-mini", "ticket-triage pinned to gpt-4o-mini"),
    Change("retrieval", _REBUILD, "search", "answer-box", "web-307", "Index rebuild web-307"),
    Change("retrieval", _REBUILD, "search", "site-search", "web-307", "Index rebuild web-307"),
    Change("retrieval", _RESTORE, "search", "answer-box", "web-306", "Index restored to web-306"),
    Change("retrieval", _RESTORE, "search", "site-search", "web-306", "Index restored to web-306"),
    Change("deploy", _days(1.1), "support", "support-api", "4.20.0", "support-api 4.20.0"),
    Change("deploy", _days(0, hours=-5), "coding", "completion-gw", "0.33.0", "completion-gw 0.33.0"),
    Change("flag", _days(0, hours=-2.5), "growth", "ad-variants", "auto-crop", "Flag auto-crop on"),
)

_SERVICES = {feature.service for feature in FEATURES}


def _timelines() -> dict[tuple[str, str], tuple[list[timedelta], list[str]]]:
    lines: dict[tuple[str, str], tuple[list[timedelta], list[str]]] = defaultdict(lambda: ([], []))
    firsts = [(kind, _BEFORE, subject, ref) for kind, subject, ref in _FIRST]
    rest = [(change.kind, change.offset, change.subject, change.ref) for change in CHANGES]
    for kind, offset, subject, ref in firsts + sorted(rest, key=lambda row: row[1]):
        offsets, refs = lines[kind, subject]
        offsets.append(offset)
        refs.append(ref)
    return dict(lines)


_TIMELINES = _timelines()


def version(kind: str, subject: str, before_end: timedelta) -> str | None:
    """The version of a service (deploy), prompt or index that ran `before_end` (negative) from the window's end."""
    line = _TIMELINES.get((kind, subject))
    return line[1][bisect_right(line[0], before_end) - 1] if line else None


def markers(window_end: datetime) -> list[dict]:
    """The change markers as plain dicts: team, kind, at (aware), title, ref, environment, service, feature."""
    return [
        {
            "team": change.team,
            "kind": change.kind,
            "at": window_end + change.offset,
            "title": change.title,
            "ref": change.ref,
            "environment": "prod",
            "service": change.subject if change.subject in _SERVICES else "",
            "feature": "" if change.subject in _SERVICES else change.subject,
        }
        for change in CHANGES
    ]
