"""Writing runbooks: new ones, new versions, owner and review, archive. Each with its audit row."""

from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from accounts.actions import Author, audit
from accounts.models import Team, User
from incidents.models import AlertRule, Runbook, RunbookSection, RunbookVersion, SectionKind
from incidents.rules.markdown import unknown_figures
from usage.metrics import CATALOGUE, DIMENSION_NAMES

LONGEST_SECTION = 40_000
RESERVED = {"add", "preview", "runs"}  # addresses below /runbooks/ of other pages


class Outdated(Exception):
    """Somebody else saved meanwhile: `latest` is the version that stands there now."""

    def __init__(self, latest: RunbookVersion):
        self.latest = latest
        super().__init__(f"Version {latest.number} was saved meanwhile.")


def create_runbook(
    *, author: Author, team: Team | None, title: str, failure_mode: str, sections: dict[str, str], note: str = ""
) -> Runbook:
    """A new runbook with its first version; its slug is made of the title. Raises ValidationError by field."""
    _check(title, sections)
    slug = slugify(title)[:60].strip("-")
    if not slug:
        raise ValidationError({"title": "Use at least one letter or digit: the address is made of it."})
    if slug in RESERVED:
        raise ValidationError({"title": f"The address /runbooks/{slug}/ is taken by the desk. Use another title."})
    try:
        with transaction.atomic():
            book = Runbook.objects.create(slug=slug, team=team, title=title, failure_mode=failure_mode)
            RunbookSection.objects.bulk_create(RunbookSection(runbook=book, kind=kind) for kind in SectionKind)
            _write(book, author, sections, note or "First version")
            _audit(book, author, "runbook.added", after={"slug": slug, "title": title})
    except IntegrityError as error:
        raise ValidationError({"title": f"There is a runbook at /runbooks/{slug}/ already."}) from error
    return book


def edit_runbook(
    *, author: Author, book: Runbook, base: int, title: str, failure_mode: str, sections: dict[str, str], note: str
) -> Runbook:
    """A new version, if `base` is still the latest; nothing changes where nothing differs.

    Raises Outdated where somebody saved meanwhile, ValidationError by field.
    """
    _check(title, sections)
    with transaction.atomic():
        book = _locked(book)
        latest = book.versions.get(number=book.version)
        if base != book.version:
            raise Outdated(latest)
        if (latest.title, book.failure_mode, latest.sections) == (title, failure_mode, sections):
            return book
        changed = [kind for kind in SectionKind.values if latest.sections[kind] != sections[kind]]
        book.title, book.failure_mode, book.version = title, failure_mode, book.version + 1
        book.save(update_fields=["title", "failure_mode", "version"])
        _write(book, author, sections, note)
        facts = {"version": book.version, "title": title, "failure_mode": failure_mode, "sections": changed}
        _audit(book, author, "runbook.edited", before={"version": base}, after=facts, reason=note)
    return book


def restore_version(*, author: Author, book: Runbook, base: int, number: int) -> Runbook:
    """The text of an earlier version as a new one. Raises Outdated as an edit does."""
    old = book.versions.get(number=number)
    return edit_runbook(
        author=author,
        book=book,
        base=base,
        title=old.title,
        failure_mode=book.failure_mode,
        sections=old.sections,
        note=f"Back to version {number}",
    )


def add_step(*, author: Author, book: Runbook, kind: str, step: str, note: str) -> Runbook:
    """A step at the end of a section, as a new version."""
    with transaction.atomic():
        book = _locked(book)
        sections = dict(book.versions.get(number=book.version).sections)
        sections[kind] = f"{sections[kind].rstrip()}\n\n- [ ] {' '.join(step.split())}".strip()
        return edit_runbook(
            author=author,
            book=book,
            base=book.version,
            title=book.title,
            failure_mode=book.failure_mode,
            sections=sections,
            note=note,
        )


def care_for(*, author: Author, book: Runbook, owner: User | None, review_by: date | None) -> Runbook:
    """Who owns it, and when it has to be read again."""
    with transaction.atomic():
        book = _locked(book)
        before = _care(book)
        book.owner, book.review_by = owner, review_by
        if _care(book) != before:
            book.save(update_fields=["owner", "review_by"])
            _audit(book, author, "runbook.cared_for", before=before, after=_care(book))
    return book


def archive_runbook(*, author: Author, book: Runbook, archived: bool) -> Runbook:
    """Out of use, or taken up again. Raises ValidationError while alert rules lead to it."""
    with transaction.atomic():
        book = _locked(book)
        rules = AlertRule.objects.filter(runbook_section__runbook=book, is_active=True).values_list("name", flat=True)
        if archived and rules:
            raise ValidationError(f"Alert rules lead here: {', '.join(rules[:5])}. Give them another runbook first.")
        if bool(book.archived_at) != archived:
            book.archived_at = timezone.now() if archived else None
            book.save(update_fields=["archived_at"])
            _audit(book, author, "runbook.archived" if archived else "runbook.taken_up")
    return book


def _locked(book: Runbook) -> Runbook:
    return Runbook.objects.select_for_update(of=("self",)).select_related("team", "owner").get(pk=book.pk)


def _check(title: str, sections: dict[str, str]) -> None:
    problems: dict[str, str] = {}
    if not title.strip():
        problems["title"] = "Give it a title."
    for kind in SectionKind.values:
        if len(sections[kind]) > LONGEST_SECTION:
            problems[kind] = f"At most {LONGEST_SECTION:,} characters."
        elif unknown := unknown_figures(sections[kind], CATALOGUE, DIMENSION_NAMES):
            problems[kind] = f"{unknown[0]} names no metric or dimension of the desk."
    if problems:
        raise ValidationError(problems)


def _write(book: Runbook, author: Author, sections: dict[str, str], note: str) -> None:
    facts = {"number": book.version, "title": book.title, "sections": sections, "note": note[:500]}
    RunbookVersion.objects.create(runbook=book, author=author.user, created_at=timezone.now(), **facts)


def _care(book: Runbook) -> dict[str, Any]:
    return {
        "owner": book.owner.email if book.owner else None,
        "review_by": book.review_by.isoformat() if book.review_by else None,
    }


def _audit(book: Runbook, author: Author, action: str, **facts) -> None:
    audit(**author.signature, action=action, target=book, team=book.team, **facts)
