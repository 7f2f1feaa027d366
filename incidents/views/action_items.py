"""Action items: the list of all, adding and changing one, making a monitor or a runbook step of it."""

from collections.abc import Iterable
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can_anywhere, person_of, require
from accounts.posted import author_of, text_of, whole_number
from incidents.actions.action_items import add_item, ask_for_monitor, edit_item, link_rule, make_step, move_item
from incidents.forms.postmortems import ItemForm, item_initial
from incidents.models import ActionItem, AlertRule, Incident, RunbookSection, SectionKind
from incidents.queries.postmortems import overdue, visible_items
from incidents.queries.runbooks import visible_runbooks
from incidents.views.postmortem_edits import workable
from incidents.views.postmortems import tabs

SHOWN = 200


@login_required
@require_safe
def action_list(request: HttpRequest) -> HttpResponse:
    """Open ones, those due first on top; `show=overdue`, `mine` or `closed`."""
    user, today = person_of(request), timezone.localdate()
    items, show = visible_items(user), request.GET.get("show", "")
    late = items.filter(overdue(today)).count()
    chosen = {
        "overdue": items.filter(overdue(today)),
        "mine": items.filter(closed_at=None, owner=user),
        "closed": items.exclude(closed_at=None).order_by("-closed_at"),
    }.get(show, items.filter(closed_at=None))
    links = [("", "Open"), ("overdue", "Overdue"), ("mine", "Mine"), ("closed", "Closed")]
    context = {"items": chosen[:SHOWN], "late": late, "show": show, "today": today, "tabs": tabs("action-list", late)}
    return render(request, "incidents/postmortems/actions.html", context | {"links": links, "any": items.exists()})


@login_required
def item_add(request: HttpRequest, pk: int) -> HttpResponse:
    postmortem = workable(request, pk)
    form = ItemForm(request.POST or None, team=postmortem.incident.team)
    if request.method == "POST" and form.is_valid():
        item = add_item(author=author_of(request), postmortem=postmortem, values=form.values)
        messages.success(request, "Added.")
        return _back(item)
    return render(request, "incidents/postmortems/item_form.html", {"form": form, "postmortem": postmortem})


@login_required
def item_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change one; below it, what can be made of it."""
    item = _workable(request, pk)
    form = ItemForm(request.POST or None, team=item.postmortem.incident.team, initial=item_initial(item))
    if request.method == "POST" and form.is_valid():
        base = form.cleaned_data["base"] or 0
        try:
            edit_item(author=author_of(request), item=item, base=base, values=form.values)
        except ValidationError as error:
            form.add_error(None, error)
            return render(request, "incidents/postmortems/item_form.html", _context(request, item, form), status=409)
        messages.success(request, "Saved.")
        return _back(item)
    return render(request, "incidents/postmortems/item_form.html", _context(request, item, form))


def _context(request: HttpRequest, item: ActionItem, form: ItemForm) -> dict:
    team = item.postmortem.incident.team
    rules = AlertRule.objects.filter(Q(team=team) | Q(team=None)).order_by("-created_at")[:100]
    books = visible_runbooks(person_of(request)).filter(archived_at=None)
    return {
        "form": form,
        "item": item,
        "postmortem": item.postmortem,
        "states": ActionItem.State.choices,
        "may_monitor": can_anywhere(person_of(request), "rule.edit"),
        "rules": rules,
        "chosen_rule": item.rule_id or _made_for(item, rules),
        "books": books,
        "kinds": SectionKind.choices,
    }


def _made_for(item: ActionItem, rules: Iterable[AlertRule]) -> int | None:
    """The rule that was made after the editor was opened for the item and still has its words, to be confirmed."""
    since = item.monitor_asked_at
    return next((rule.pk for rule in rules if since and rule.created_at > since and rule.name == item.text[:150]), None)


@login_required
@require_POST
def item_move(request: HttpRequest, pk: int) -> HttpResponse:
    item = _workable(request, pk)
    try:
        facts = {"state": text_of(request, "state"), "note": text_of(request, "note")}
        move_item(author=author_of(request), item=item, at=timezone.now(), **facts)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("action-item", pk)
    messages.success(request, "Saved.")
    return _back(item)


@login_required
@require_POST
def item_monitor(request: HttpRequest, pk: int) -> HttpResponse:
    """Open the rule editor with what is known filled in; the item shows that a rule was begun."""
    item = _workable(request, pk)
    ask_for_monitor(author=author_of(request), item=item, at=timezone.now())
    return redirect(monitor_url(item))


def monitor_url(item: ActionItem) -> str:
    """The rule editor, filled with the item's words, the incident's slice, its team, first figure and runbook."""
    incident = item.postmortem.incident
    charts = item.postmortem.facts.get("charts") or [{}]
    filters = "\n".join(f"{name} = {', '.join(values)}" for name, values in incident.scope.items())
    pairs = [("name", item.text[:150]), ("kind", "threshold"), ("metric", charts[0].get("metric", ""))]
    pairs += [("filters", filters), ("team", incident.team.slug if incident.team else "")]
    pairs += [("runbook_section", str(section.pk))] if (section := _section_of(incident)) else []
    return f"{reverse('rule-add')}?{urlencode([pair for pair in pairs if pair[1]])}"


def _section_of(incident: Incident) -> RunbookSection | None:
    """The first section of the runbook of its failure mode."""
    found = RunbookSection.objects.filter(runbook__failure_mode=incident.failure_mode, runbook__archived_at=None)
    return found.filter(kind=SectionKind.DETECTION).order_by("-runbook__is_shipped").first()


@login_required
@require_POST
def item_rule(request: HttpRequest, pk: int) -> HttpResponse:
    """Say which alert rule came of it; empty takes it back."""
    item = _workable(request, pk)
    team, number = item.postmortem.incident.team, whole_number(text_of(request, "rule"))
    rules = AlertRule.objects.filter(Q(team=team) | Q(team=None))
    link_rule(author=author_of(request), item=item, rule=get_object_or_404(rules, pk=number) if number else None)
    messages.success(request, "Saved.")
    return _back(item)


@login_required
@require_POST
def item_step(request: HttpRequest, pk: int) -> HttpResponse:
    """Add its text as a step to a section of a runbook, as a new version of that."""
    item = _workable(request, pk)
    kind = text_of(request, "kind")
    books = visible_runbooks(person_of(request)).filter(archived_at=None)
    book = get_object_or_404(books, slug=text_of(request, "runbook"))
    require(request.user, "runbook.edit", book.team)
    if kind not in SectionKind.values:
        messages.error(request, "Choose the section that the step belongs to.")
        return redirect("action-item", pk)
    version = make_step(author=author_of(request), item=item, book=book, kind=kind)
    messages.success(request, f"{book.title} has it as a step of version {version.number}.")
    return _back(item)


def _workable(request: HttpRequest, pk: int) -> ActionItem:
    item = get_object_or_404(visible_items(person_of(request)), pk=pk)
    require(request.user, "incident.work", item.postmortem.incident.team)
    return item


def _back(item: ActionItem) -> HttpResponse:
    return redirect(f"{reverse('postmortem-detail', args=[item.postmortem_id])}#item-{item.pk}")
