"""Budgets as a table: CSV out, CSV in with a dry run, and one change to a selection."""

import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can_anywhere, person_of, require
from accounts.posted import author_of, text_of, whole_number
from budgets.bulk import MOST, Plan, carry_out, plan_import, plan_limits
from budgets.facts import FACT_NAMES, decimal_of, facts_of
from budgets.queries.visible import visible_budgets
from budgets.rules.table import BadTable, read, written
from budgets.views.shown import tabs

MAX_BYTES = 2_000_000


@login_required
@require_safe
def budget_csv(request: HttpRequest) -> HttpResponse:
    """Every budget in force that the user sees, in the columns that the import takes."""
    rows = [facts_of(budget) for budget in visible_budgets(request.user).filter(is_active=True)]
    answer = HttpResponse(written(rows, FACT_NAMES), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="budgets-{timezone.localdate():%Y-%m-%d}.csv"'
    return answer


@login_required
def budget_import(request: HttpRequest) -> HttpResponse:
    """Paste or upload a table: first what each line would do, then, confirmed, all of it or nothing."""
    if not can_anywhere(request.user, "budget.edit"):
        require(request.user, "budget.edit")
    context = {"columns": FACT_NAMES, "most": MOST, "tabs": tabs("budget-list", 0)}
    if request.method != "POST":
        return render(request, "budgets/import.html", context)
    try:
        text = _text_of(request)
        plans = plan_import(person_of(request), read(text, FACT_NAMES, MOST))
    except BadTable as error:
        return render(request, "budgets/import.html", context | {"problem": str(error)}, status=400)
    return _dry_run(request, plans, context | {"text": text, "action": "budget-import"}, "budgets/import.html")


def _text_of(request: HttpRequest) -> str:
    upload = request.FILES.get("file")
    if upload and (upload.size or 0) > MAX_BYTES:
        raise BadTable(f"The file has {upload.size:,} bytes; the most is {MAX_BYTES:,}. Split it.")
    if not upload:
        text = request.POST.get("text", "")
        if not text.strip():
            raise BadTable("Choose a file or paste a table.")
        return text
    try:
        return upload.read().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise BadTable("The file is not UTF-8. Save it as “CSV UTF-8”.") from exc


@login_required
@require_POST
def budget_bulk(request: HttpRequest) -> HttpResponse:
    """Raise or lower the limits of the chosen budgets by so many percent; a dry run first."""
    if not can_anywhere(request.user, "budget.edit"):
        require(request.user, "budget.edit")
    ids = [pk for text in request.POST.getlist("budget")[:MOST] if (pk := whole_number(text)) is not None]
    percent = decimal_of(request.POST.get("percent", ""))
    if not ids or percent is None or not -99 <= percent <= 1000:
        messages.error(request, "Choose budgets and a percentage from -99 to 1000, e.g. 10 or -5.")
        return redirect("budget-list")
    budgets = list(visible_budgets(request.user).filter(pk__in=ids, is_active=True))
    for budget in budgets:
        require(request.user, "budget.edit", budget.team)
    context = {"ids": ids, "percent": percent, "action": "budget-bulk", "tabs": tabs("budget-list", 0)}
    return _dry_run(request, plan_limits(budgets, Decimal(percent)), context, "budgets/bulk.html")


def _dry_run(request: HttpRequest, plans: Sequence[Plan], context: dict, template: str) -> HttpResponse:
    """Show the plans; carry them out when they are confirmed and still the ones that were shown."""
    seen = _digest(plans)
    errors = [plan for plan in plans if plan.kind == "error"]
    if request.POST.get("confirm") == seen and not errors:
        try:
            outcomes = carry_out(author_of(request), plans, text_of(request, "reason"))
        except ValidationError as error:
            context = context | {"problem": " ".join(error.messages)}
        else:
            waiting = sum(outcome.pending is not None for outcome in outcomes)
            messages.success(
                request, f"{len(outcomes) - waiting} budgets are as planned; {waiting} wait for a second person."
            )
            return redirect("budget-list")
    elif request.POST.get("confirm"):
        context = context | {"problem": "Budgets changed since the dry run. Look at it again."}
    shown = [plan for plan in plans if plan.kind != "same"]
    same = len(plans) - len(shown)
    context = context | {"plans": shown, "same": same, "errors": len(errors), "seen": seen, "dry_run": True}
    return render(request, template, context, status=400 if errors or "problem" in context else 200)


def _digest(plans: Sequence[Plan]) -> str:
    """Names exactly these plans on exactly these versions of the budgets."""
    facts = [
        [plan.kind, plan.name, plan.budget.version if plan.budget else 0, plan.draft.facts if plan.draft else None]
        for plan in plans
    ]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
