"""Reads of runbooks: those a person may see, search in their texts, when each was used and drilled."""

import json
import re
from dataclasses import dataclass
from datetime import date

from django.db import connection
from django.db.models import Count, Max, Q, QuerySet

from accounts.access import visible_teams
from accounts.models import User
from incidents.models import AlertRule, FailureMode, Runbook, RunbookVersion, SectionKind
from incidents.rules.markdown import unmarked

LONGEST_SEARCH = 200
# Every word is also found by its beginning. The snippet comes from the section that says it best.
_FIND = """
WITH asked AS (SELECT to_tsquery('english', %(query)s) AS words),
texts AS (
    SELECT r.id, r.title, part.key AS kind, part.value AS text, to_tsvector('english', part.value) AS lexemes,
        setweight(to_tsvector('english', concat_ws(' ', r.title, %(modes)s::jsonb ->> r.failure_mode)), 'A') AS head
    FROM incidents_runbook r
    JOIN incidents_runbookversion v ON v.runbook_id = r.id AND v.number = r.version
    CROSS JOIN jsonb_each_text(v.sections) part
    WHERE r.id = ANY(%(ids)s)
),
books AS (
    SELECT id FROM texts, asked GROUP BY id, head, words
    HAVING (head || to_tsvector('english', string_agg(text, ' '))) @@ words
)
SELECT DISTINCT ON (t.id) t.id, t.kind, ts_rank(t.head || t.lexemes, words),
    CASE WHEN t.lexemes @@ words THEN
        ts_headline('english', t.text, words, 'MaxWords=24, MinWords=12, StartSel="", StopSel=""') ELSE '' END
FROM texts t JOIN books USING (id), asked
ORDER BY t.id, (t.lexemes @@ words) DESC, ts_rank(t.lexemes, words) DESC
"""


@dataclass(frozen=True)
class Found:
    """Where a search met a runbook: rank, section kind and some words of it ("" where only the title matched)."""

    rank: float
    kind: str
    snippet: str


def visible_runbooks(user: User) -> QuerySet[Runbook]:
    """Of the user's teams, and those of everybody."""
    return Runbook.objects.filter(Q(team__in=visible_teams(user)) | Q(team=None)).select_related("team", "owner")


def listed(books: QuerySet[Runbook]) -> QuerySet[Runbook]:
    """With `last_used`, `last_drilled` and `rule_count`."""
    rules = Count("sections__rules", filter=Q(sections__rules__is_active=True), distinct=True)
    used = Max("runs__started_at", filter=Q(runs__is_drill=False))
    drilled = Max("runs__started_at", filter=Q(runs__is_drill=True))
    return books.annotate(last_used=used, last_drilled=drilled, rule_count=rules)


def search(books: QuerySet[Runbook], words: str) -> dict[int, Found]:
    """Runbook id → where it says all these words (or words that begin so) in title, failure mode or text."""
    if not (query := query_words(words)):
        return {}
    values = {"query": query, "modes": json.dumps(dict(FailureMode.choices))}
    with connection.cursor() as cursor:
        cursor.execute(_FIND, values | {"ids": list(books.values_list("pk", flat=True))})
        return {pk: Found(rank, kind, unmarked(snippet)) for pk, kind, rank, snippet in cursor.fetchall()}


def query_words(text: str) -> str:
    """What people type as a query for to_tsquery: all words, each also by its beginning; "" where there is none."""
    return " & ".join(f"{term}:*" for term in re.findall(r"\w+", text[:LONGEST_SEARCH]))


def is_overdue(book: Runbook, today: date) -> bool:
    """Whether it should have been reviewed by now."""
    return book.review_by is not None and book.review_by < today


def version_of(book: Runbook, number: int | None = None) -> RunbookVersion:
    """The latest version, or the one of that number. Raises RunbookVersion.DoesNotExist."""
    return book.versions.select_related("author").get(number=book.version if number is None else number)


def rules_of(book: Runbook, user: User) -> dict[str, list[AlertRule]]:
    """Section kind → the alert rules that lead to it, of teams the user sees."""
    seen = Q(team__in=visible_teams(user)) | Q(team=None)
    rules = AlertRule.objects.filter(seen, runbook_section__runbook=book).select_related("runbook_section", "team")
    found: dict[str, list[AlertRule]] = {kind: [] for kind in SectionKind.values}
    for rule in rules:
        found[rule.runbook_section.kind].append(rule)
    return found
