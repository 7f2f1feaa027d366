"""What comes with the desk: runbooks and an objective. Installed after each migration; edits are left alone."""

import re
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

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


@cache
def shipped_runbooks() -> dict[str, tuple[str, str, dict[str, str]]]:
    """Slug → (title, failure mode, Markdown by section kind) of the files that come with the desk."""
    return {file.stem: _parsed(file.read_text()) for file in sorted(SHIPPED.glob("*.md"))}


def _parsed(text: str) -> tuple[str, str, dict[str, str]]:
    head = TITLE.match(text)
    if head is None:
        raise ValueError("A shipped runbook starts with its title and failure mode.")
    _, *parts = re.split(r"^## (.+)$", text[head.end() :], flags=re.MULTILINE)
    by_title = dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))
    return head[1], head[2], {kind.value: by_title[kind.label] for kind in SectionKind}


def install_runbooks() -> int:
    """Make those that are not there; returns how many. Safe to repeat."""
    known = set(Runbook.objects.values_list("slug", flat=True))
    missing = {slug: parts for slug, parts in shipped_runbooks().items() if slug not in known}
    with transaction.atomic():
        for slug, (title, mode, sections) in missing.items():
            book = Runbook.objects.create(slug=slug, title=title, failure_mode=mode, is_shipped=True)
            RunbookSection.objects.bulk_create(RunbookSection(runbook=book, kind=kind) for kind in SectionKind)
            RunbookVersion.objects.create(
                runbook=book,
                number=1,
                title=title,
                sections=sections,
                created_at=timezone.now(),
                note="Came with the desk",
            )
    return len(missing)


def install_slos() -> int:
    """Make the objectives that were never there, with their burn rate rules; returns how many. Safe to repeat."""
    known = set(Slo.objects.exclude(shipped_as="").values_list("shipped_as", flat=True))
    missing = {name: facts for name, facts in OBJECTIVES.items() if name not in known}
    for name, facts in missing.items():
        save_slo(author=Author(label="AI Ops Desk"), slo=Slo(shipped_as=name), values=facts)
    return len(missing)
