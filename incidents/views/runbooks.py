"""Runbooks: the list with its search, and one to read."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import can, can_anywhere, person_of
from accounts.models import User
from accounts.posted import whole_number
from incidents.forms.runbooks import CareForm
from incidents.models import FailureMode, Runbook, RunbookVersion, SectionKind
from incidents.queries.runbooks import Found, is_overdue, listed, rules_of, search, version_of, visible_runbooks
from incidents.rules.markdown import Part, Places, parts_of, steps_of

MODES = dict(FailureMode.choices)


@login_required
@require_safe
def runbook_list(request: HttpRequest) -> HttpResponse:
    """Every runbook, or those that say the words of `q`; archived ones by `archived=1`."""
    user = person_of(request)
    archived, words = request.GET.get("archived") == "1", request.GET.get("q", "").replace("\0", "").strip()[:200]
    mine = visible_runbooks(user)
    books = mine.filter(archived_at__isnull=not archived)
    found = search(books, words) if words else {}
    rows = [_row(book, found.get(book.pk)) for book in listed(books) if not words or book.pk in found]
    rows.sort(key=lambda row: (-row["rank"], row["book"].title.lower()))
    return render(
        request,
        "incidents/runbooks/list.html",
        {
            "rows": rows,
            "words": words,
            "archived": archived,
            "archived_count": mine.exclude(archived_at=None).count(),
            "overdue": sum(row["overdue"] for row in rows),
            "may_edit": can_anywhere(user, "runbook.edit"),
        },
    )


def _row(book: Runbook, found: Found | None) -> dict:
    return {
        "book": book,
        "mode": MODES.get(book.failure_mode, ""),
        "overdue": is_overdue(book, timezone.localdate()),
        "rank": found.rank if found else 0,
        "kind": found.kind if found and found.snippet else "",
        "snippet": found.snippet if found else "",
    }


@login_required
@require_safe
def runbook_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One runbook, section by section; an older version by `version=N`."""
    user = person_of(request)
    book = get_object_or_404(listed(visible_runbooks(user)), slug=slug)
    version = _asked_version(request, book)
    sections = sections_of(version)
    return render(
        request,
        "incidents/runbooks/detail.html",
        shown(book, user)
        | {
            "version": version,
            "is_latest": version.number == book.version,
            "sections": [
                (*section, rules) for section, rules in zip(sections, rules_of(book, user).values(), strict=True)
            ],
            "step_count": sum(len(steps_of(parts)) for _, _, parts in sections),
        },
    )


def _asked_version(request: HttpRequest, book: Runbook) -> RunbookVersion:
    number = whole_number(request.GET.get("version", ""))
    if number is None:
        return version_of(book)
    return get_object_or_404(book.versions.select_related("author"), number=number)


def shown(book: Runbook, user: User) -> dict:
    """What every page of one runbook says of it."""
    return {
        "book": book,
        "mode": MODES.get(book.failure_mode, ""),
        "overdue": is_overdue(book, timezone.localdate()),
        "may_edit": can(user, "runbook.edit", book.team) and not book.archived_at,
        "may_manage": can(user, "runbook.edit", book.team),
        "care_form": CareForm(book=book, initial={"owner": book.owner, "review_by": book.review_by}),
        "may_run": can_anywhere(user, "incident.work") and not book.archived_at,
    }


def sections_of(version: RunbookVersion, places: Places | None = None) -> list[tuple[str, str, tuple[Part, ...]]]:
    """(kind, title, parts) of the six sections, in their order."""
    return [
        (kind.value, kind.label, parts_of(version.sections[kind.value], kind.value, places)) for kind in SectionKind
    ]
