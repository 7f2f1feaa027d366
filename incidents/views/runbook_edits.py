"""Writing runbooks: new ones, edits with preview, versions and their differences, owner, archive."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can_anywhere, person_of, require
from accounts.posted import author_of, report, text_of, whole_number
from incidents.actions.runbooks import (
    Outdated,
    archive_runbook,
    care_for,
    create_runbook,
    edit_runbook,
    restore_version,
)
from incidents.forms.runbooks import CareForm, RunbookForm
from incidents.models import Runbook, RunbookVersion, SectionKind
from incidents.queries.runbooks import version_of, visible_runbooks
from incidents.rules.markdown import parts_of
from incidents.rules.runbooks import TEMPLATE, differing
from incidents.views.runbooks import shown

TITLES = dict(SectionKind.choices)


@login_required
def runbook_add(request: HttpRequest) -> HttpResponse:
    """A new runbook from the template, or from another one by `from=slug`."""
    user = person_of(request)
    if not can_anywhere(user, "runbook.edit"):
        require(user, "runbook.edit")
    form = RunbookForm(request.POST or None, user=user, is_new=True, initial=_start(request))
    if request.method == "POST" and form.is_valid():
        team = form.cleaned_data["team"]
        require(user, "runbook.edit", team)
        facts = {name: form.cleaned_data[name] for name in ("title", "failure_mode")}
        try:
            book = create_runbook(author=author_of(request), team=team, sections=form.sections, **facts)
        except ValidationError as error:
            report(form, error)
        else:
            messages.success(request, f"{book.title} is there. Alert rules can lead to its sections now.")
            return redirect("runbook-detail", book.slug)
    return render(request, "incidents/runbooks/form.html", {"form": form})


def _start(request: HttpRequest) -> dict[str, object]:
    slug = request.GET.get("from", "").replace("\0", "")
    like = visible_runbooks(person_of(request)).filter(slug=slug).first() if slug else None
    if like is None:
        return dict(TEMPLATE)
    return {"failure_mode": like.failure_mode, "title": f"{like.title}, "} | version_of(like).sections


@login_required
def runbook_edit(request: HttpRequest, slug: str) -> HttpResponse:
    """A new version. Where somebody saved meanwhile: 409, with what was typed kept and what they changed."""
    user = person_of(request)
    book = _mine(request, slug)
    form = RunbookForm(request.POST or None, user=user, is_new=False, initial=_as_initial(book))
    if request.method != "POST" or not form.is_valid():
        return render(request, "incidents/runbooks/form.html", {"form": form, "book": book})
    facts = {name: form.cleaned_data[name] for name in ("title", "failure_mode", "note")}
    try:
        saved = edit_runbook(
            author=author_of(request),
            book=book,
            base=form.cleaned_data["base"] or 0,
            sections=form.sections,
            **facts,
        )
    except Outdated as outdated:
        return _conflict(request, book, form, outdated.latest)
    except ValidationError as error:
        report(form, error)
        return render(request, "incidents/runbooks/form.html", {"form": form, "book": book})
    messages.success(request, f"Saved as version {saved.version}." if saved.version != book.version else "No change.")
    return redirect("runbook-detail", slug)


def _as_initial(book: Runbook) -> dict[str, object]:
    latest = version_of(book)
    return {"title": latest.title, "failure_mode": book.failure_mode, "base": book.version} | latest.sections


def _conflict(request: HttpRequest, book: Runbook, form: RunbookForm, latest: RunbookVersion) -> HttpResponse:
    base = book.versions.filter(number=form.cleaned_data["base"] or 0).first()
    theirs = _named(differing(base.sections if base else {}, latest.sections))
    data = request.POST.copy()
    data["base"] = str(latest.number)
    again = RunbookForm(data, user=person_of(request), is_new=False)
    context = {"form": again, "book": book, "theirs": theirs, "latest": latest}
    return render(request, "incidents/runbooks/form.html", context, status=409)


def _named(sections: list[tuple[str, list]]) -> list[tuple[str, list]]:
    return [(TITLES[kind], lines) for kind, lines in sections]


def _mine(request: HttpRequest, slug: str) -> Runbook:
    """A runbook in use that the person may edit."""
    book = get_object_or_404(visible_runbooks(person_of(request)).filter(archived_at=None), slug=slug)
    require(request.user, "runbook.edit", book.team)
    return book


@login_required
@require_POST
def runbook_preview(request: HttpRequest) -> HttpResponse:
    """What is typed, as it will read."""
    typed = {kind: request.POST.get(kind, "")[:50_000] for kind in SectionKind.values}
    sections = [(TITLES[kind], parts_of(text, kind)) for kind, text in typed.items()]
    return render(request, "incidents/runbooks/preview.html", {"sections": sections})


@login_required
@require_safe
def runbook_versions(request: HttpRequest, slug: str) -> HttpResponse:
    """Every version, newest first; what `version=N` changed against the one before it or `against=M`."""
    user = person_of(request)
    book = get_object_or_404(visible_runbooks(user), slug=slug)
    versions = list(book.versions.select_related("author"))
    by_number = {version.number: version for version in versions}
    number = whole_number(request.GET.get("version", "")) or book.version
    chosen = by_number.get(number, versions[0])
    other = by_number.get(whole_number(request.GET.get("against", "")) or chosen.number - 1)
    lines = _named(differing(other.sections, chosen.sections)) if other else []
    context = shown(book, user) | {"versions": versions, "chosen": chosen, "other": other, "lines": lines}
    return render(request, "incidents/runbooks/versions.html", context)


@login_required
@require_POST
def runbook_restore(request: HttpRequest, slug: str) -> HttpResponse:
    book = _mine(request, slug)
    numbers = [whole_number(text_of(request, name)) or 0 for name in ("base", "number")]
    get_object_or_404(book.versions, number=numbers[1])
    try:
        saved = restore_version(author=author_of(request), book=book, base=numbers[0], number=numbers[1])
    except Outdated as outdated:
        messages.error(request, f"{outdated} Look at it first, then restore again.")
        return redirect("runbook-versions", slug)
    messages.success(request, f"Version {numbers[1]} is back, as version {saved.version}.")
    return redirect("runbook-detail", slug)


@login_required
@require_POST
def runbook_care(request: HttpRequest, slug: str) -> HttpResponse:
    book = _mine(request, slug)
    form = CareForm(request.POST, book=book)
    if form.is_valid():
        care_for(author=author_of(request), book=book, **form.cleaned_data)
        messages.success(request, "Saved.")
    else:
        messages.error(
            request, "Not saved. " + " ".join(f"{form[name].label}: {told[0]}" for name, told in form.errors.items())
        )
    return redirect("runbook-detail", slug)


@login_required
@require_POST
def runbook_archive(request: HttpRequest, slug: str) -> HttpResponse:
    book = get_object_or_404(visible_runbooks(person_of(request)), slug=slug)
    require(request.user, "runbook.edit", book.team)
    archived = text_of(request, "archived") == "1"
    try:
        archive_runbook(author=author_of(request), book=book, archived=archived)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"{book.title} is archived." if archived else f"{book.title} is in use again.")
    return redirect("runbook-detail", slug)
