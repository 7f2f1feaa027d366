"""What comes with the desk: the nine runbooks. Installed after each migration; what was edited is left alone."""

import re
from functools import cache
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from incidents.models import Runbook, RunbookSection, RunbookVersion, SectionKind

SHIPPED = Path(__file__).resolve().parent.parent / "shipped" / "runbooks"
TITLE = re.compile(r"\A# (.+)\n+Failure mode: (\w+)\n")


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
