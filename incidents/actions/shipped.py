"""What comes with the desk: runbooks and an objective. Installed after each migration; edits are left alone."""

import re
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone

from accounts.actions import Author
from incidents.actions.slos import save_slo
from incidents.models import Runbook, RunbookSection, RunbookVersion, SectionKind, Slo

SHIPPED = Path(__file__).resolve().parent.parent / "shipped" / "runbooks"
TITLE = re.compile(r"\A# (.+)\n+Failure mode: (\w+)\n")
# What any desk can promise from its first day. How fast an answer must be depends on what it is for: a chat, an agent.
OBJECTIVES: dict[str, dict[str, Any]] = {
    "requests-answered": {
        "name": "Requests answered",
        "indicator": "success",
        "target": Decimal("0.99"),
        "exclusions": {"environment": ["drill"]},
    }
}


class Shipped(NamedTuple):
    """A runbook as it ships: Markdown by section kind."""

    title: str
    failure_mode: str
    sections: dict[str, str]


@cache
def shipped_runbooks() -> dict[str, Shipped]:
    """Slug → runbook, of the files that come with the desk."""
    return {file.stem: _parsed(file.read_text()) for file in sorted(SHIPPED.glob("*.md"))}


def _parsed(text: str) -> Shipped:
    head = TITLE.match(text)
    if head is None:
        raise ValueError("A shipped runbook starts with its title and failure mode.")
    _, *parts = re.split(r"^## (.+)$", text[head.end() :], flags=re.MULTILINE)
    by_title = dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))
    return Shipped(head[1], head[2], {kind.value: by_title[kind.label] for kind in SectionKind})


def install_runbooks() -> int:
    """Make those that are not there, and bring new texts to those nobody edited; returns how many. Safe to repeat."""
    with transaction.atomic():
        known = {book.slug: book for book in Runbook.objects.select_for_update(of=("self",)).filter(is_shipped=True)}
        taken = set(Runbook.objects.filter(is_shipped=False).values_list("slug", flat=True))
        latest = {one.runbook_id: one for one in _latest_versions()}
        changed = 0
        for slug, text in shipped_runbooks().items():
            if book := known.get(slug):
                changed += _follow(book, latest[book.pk], text)
            elif slug not in taken:
                changed += _make(slug, text)
    return changed


def _latest_versions():
    latest = RunbookVersion.objects.filter(runbook__is_shipped=True).order_by("runbook_id", "-number")
    return latest.distinct("runbook_id")


def _make(slug: str, text: Shipped) -> int:
    book = Runbook.objects.create(slug=slug, title=text.title, failure_mode=text.failure_mode, is_shipped=True)
    RunbookSection.objects.bulk_create(RunbookSection(runbook=book, kind=kind) for kind in SectionKind)
    _write(book, text, "Came with the desk")
    return 1


def _follow(book: Runbook, latest: RunbookVersion, text: Shipped) -> int:
    if not latest.is_shipped or (latest.title, latest.sections) == (text.title, text.sections):
        return 0
    book.version, book.title, book.failure_mode = latest.number + 1, text.title, text.failure_mode
    book.save(update_fields=["version", "title", "failure_mode"])
    _write(book, text, "New text with an upgrade of the desk")
    return 1


def _write(book: Runbook, text: Shipped, note: str) -> None:
    facts = {"number": book.version, "title": text.title, "sections": text.sections, "note": note}
    RunbookVersion.objects.create(runbook=book, is_shipped=True, created_at=timezone.now(), **facts)


def install_slos() -> int:
    """Make the objectives that were never there, with their burn rate rules; returns how many. Safe to repeat."""
    known = set(Slo.objects.exclude(shipped_as="").values_list("shipped_as", flat=True))
    missing = {name: facts for name, facts in OBJECTIVES.items() if name not in known}
    for name, facts in missing.items():
        save_slo(author=Author(label="AI Ops Desk"), slo=Slo(shipped_as=name), values=facts)
    return len(missing)
