"""Alert rules: the list, the editor with its backtest, switching, copying, undoing."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, get_team, person_of, require, teams_where, visible_teams
from accounts.posted import author_of, report, text_of, whole_number
from accounts.rules import changed_facts
from incidents.actions.rules import copy_rule, kept_because, remove_rule, save_rule, switch_rule, undo_rule
from incidents.forms.rules import LONG_AND_SHORT, MINUTES, OPTIONS, RuleForm, as_initial
from incidents.models import AlertRule
from incidents.queries.backtests import DAYS, Backtest, backtest
from incidents.queries.desk import EVALUATED
from incidents.queries.rule_checks import check
from incidents.queries.rules import history, visible_rules
from incidents.rules.kinds import counts
from incidents.rules.words import labelled
from incidents.views import rule_shown
from incidents.views.tabs import alert_tabs
from usage.metrics import QueryError
from usage.scope import zone_of

# Domain name → field of the form. Of a synthetic check the threshold is a number of failures.
SHOWN_FIELDS = {model: name for name, model in (MINUTES | LONG_AND_SHORT).items()} | {"threshold": "failures"}
POINTING = ("runbook_section", "slo", "check", "budget")
MOST_SPANS = 12


@login_required
@require_safe
def rule_list(request: HttpRequest) -> HttpResponse:
    """Every rule the viewer may see: firing and failing ones first, then by name."""
    user, get = person_of(request), request.GET
    rules = visible_rules(user)
    if team := get.get("team"):
        rules = rules.filter(team__slug=team)
    if get.get("kind") in AlertRule.Kind.values:
        rules = rules.filter(kind=get["kind"])
    if words := get.get("q", "").strip()[:100]:
        rules = rules.filter(name__icontains=words)
    if get.get("show") == "off":
        rules = rules.filter(is_active=False)
    found = sorted(rules, key=_place)
    return render(
        request,
        "incidents/rules/list.html",
        {
            "rows": [(one, rule_shown.sentence(one)) for one in found],
            "failing": sum(bool(one.failed_at) and one.is_active for one in found),
            "off": sum(not one.is_active for one in found),
            "kinds": AlertRule.Kind.choices,
            "get": get,
            "may_edit": can_anywhere(user, "rule.edit"),
            "tabs": alert_tabs("rule-list"),
        },
    )


def _place(rule: AlertRule) -> tuple[bool, bool, bool, str]:
    """Failing ones first, then firing ones; `firing` is counted by the query."""
    firing: int = getattr(rule, "firing", 0)
    return not rule.failed_at, not firing, not rule.is_active, rule.name.lower()


@login_required
def rule_add(request: HttpRequest) -> HttpResponse:
    """Make a rule; any field may come filled in by the query string."""
    user = person_of(request)
    if not can_anywhere(user, "rule.edit"):
        require(user, "rule.edit")
    rule = AlertRule()
    known = {*POINTING, *RuleForm.base_fields}
    start: dict[str, Any] = {name: value for name, value in request.GET.items() if name in known}
    start["team"] = visible_teams(user).filter(slug=request.GET.get("team", "")).first()
    form = RuleForm(request.POST or None, user=user, initial=start)
    return _edit(request, rule, form)


@login_required
def rule_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """One rule: its terms to change by those who may, what fires, its versions."""
    user = person_of(request)
    rule = get_object_or_404(visible_rules(user), pk=pk)
    if request.method == "POST":
        require(user, "rule.edit", rule.team)
    form = RuleForm(request.POST or None, user=user, rule=rule, initial=as_initial(rule))
    if not can(user, "rule.edit", rule.team):
        for field in form.fields.values():
            field.disabled = True
    return _edit(request, rule, form)


@login_required
@require_POST
def rule_fields(request: HttpRequest) -> HttpResponse:
    """The fields of the kind that was just chosen, with what was typed so far; `rule`: the one that is edited."""
    user = person_of(request)
    if not can_anywhere(user, "rule.edit"):
        require(user, "rule.edit")
    pk = whole_number(request.GET.get("rule", ""))
    rule = visible_rules(user).filter(pk=pk).first() if pk else None
    form = RuleForm(user=user, rule=rule, initial=_typed(request))
    context = {"form": form, "may_edit": True, "rule": rule, "days": DAYS}
    return render(request, "incidents/rules/fields.html", context)


def _typed(request: HttpRequest) -> dict[str, Any]:
    return {name: value for name, value in request.POST.items() if "\0" not in str(value)}


def _edit(request: HttpRequest, rule: AlertRule, form: RuleForm) -> HttpResponse:
    if request.method == "POST" and "reshape" in request.POST:  # without scripts
        form = RuleForm(user=person_of(request), rule=rule, initial=_typed(request))
    elif request.method == "POST" and form.is_valid():
        require(request.user, "rule.edit", form.values["team"])
        try:
            saved = save_rule(
                author=author_of(request),
                rule=rule,
                values=_values(rule, form),
                at=timezone.now(),
                version=form.cleaned_data["version"] if rule.pk else None,
                note=form.cleaned_data["note"],
            )
        except ValidationError as error:
            report(form, error, SHOWN_FIELDS)
        else:
            messages.success(request, f"{saved.name} is saved. {_when_it_counts(saved)}")
            return redirect("rule-edit", saved.pk)
    return render(request, "incidents/rules/form.html", _context(request, rule, form))


def _when_it_counts(rule: AlertRule) -> str:
    if rule.kind in EVALUATED:
        return "It is evaluated within 30 seconds."
    return "It answers for what is found from now on."


def _values(rule: AlertRule, form: RuleForm) -> dict[str, Any]:
    """The form's values; options that it does not show stay."""
    shown = (*OPTIONS, *LONG_AND_SHORT.values())
    hidden = {name: one for name, one in rule.options.items() if name not in shown and counts(form.shape, name)}
    return form.values | {"options": hidden | form.options}


def _context(request: HttpRequest, rule: AlertRule, form: RuleForm) -> dict[str, Any]:
    context: dict[str, Any] = {
        "form": form,
        "rule": None,
        "tabs": alert_tabs("rule-list"),
        "may_edit": True,
        "days": DAYS,
    }
    if rule.pk:
        user = person_of(request)
        firing = rule.alerts.filter(resolved_at=None)
        context |= {
            "rule": rule,
            "sentence": rule_shown.sentence(rule),
            "may_edit": can(user, "rule.edit", rule.team),
            "kept_because": kept_because(rule),
            "firing": firing.filter(team__in=visible_teams(user)).select_related("team")[:20],
            "history": [(one, changed_facts(one.before, one.after)) for one in history(rule)],
            "can_undo": rule.versions.filter(number__lt=rule.version).exists(),
            "teams": teams_where(user, "rule.edit"),
        }
    return context


@login_required
@require_POST
def rule_preview(request: HttpRequest) -> HttpResponse:
    """How often the rule of the form would have fired; a part of the form's page."""
    user = person_of(request)
    if not can_anywhere(user, "rule.edit"):
        require(user, "rule.edit")
    form = RuleForm(request.POST, user=user)
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        rule = AlertRule(**_values(AlertRule(), form))
        try:
            check(rule, timezone.now())
            result = backtest(rule, visible_teams(user).values_list("pk", flat=True), timezone.now())
        except ValidationError as error:
            report(form, error, SHOWN_FIELDS)
        except QueryError as error:
            form.add_error(None, str(error))
        else:
            context |= {"result": result, "chart": rule_shown.backtest_chart(rule, result, zone_of(request))}
            context["spans"] = _spans(result)
    return render(request, "incidents/rules/preview.html", context)


def _spans(result: Backtest) -> list[tuple[str, str, Any]]:
    found = [(one.team, labelled(one.labels), span) for one in result.sets for span in one.spans]
    return sorted(found, key=lambda row: row[2].start, reverse=True)[:MOST_SPANS]


@login_required
@require_POST
def rule_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete it; its alerts stay in their list."""
    rule = _mine(request, pk)
    try:
        remove_rule(author=author_of(request), rule=rule)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("rule-edit", pk)
    messages.success(request, f"{rule.name} is removed. Its alerts end within 30 seconds.")
    return redirect("rule-list")


def _mine(request: HttpRequest, pk: int) -> AlertRule:
    rule = get_object_or_404(visible_rules(person_of(request)), pk=pk)
    require(request.user, "rule.edit", rule.team)
    return rule


@login_required
@require_POST
def rule_switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Switch it on with `on`, else off."""
    rule, on = _mine(request, pk), "on" in request.POST
    switch_rule(author=author_of(request), rule=rule, on=on, at=timezone.now())
    messages.success(request, f"{rule.name} is switched {'on' if on else 'off'}.")
    return redirect("rule-edit", pk)


@login_required
@require_POST
def rule_undo(request: HttpRequest, pk: int) -> HttpResponse:
    """Back to the version before."""
    rule = _mine(request, pk)
    try:
        undo_rule(author=author_of(request), rule=rule, at=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"{rule.name} is as it was before.")
    return redirect("rule-edit", pk)


@login_required
@require_POST
def rule_copy(request: HttpRequest, pk: int) -> HttpResponse:
    """Copy it for `team` (a slug; empty: for all teams)."""
    rule = get_object_or_404(visible_rules(person_of(request)), pk=pk)
    slug = text_of(request, "team")
    team = get_team(request.user, slug) if slug else None
    require(request.user, "rule.edit", team)
    try:
        copy = copy_rule(author=author_of(request), rule=rule, team=team, at=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("rule-edit", pk)
    messages.success(request, f"{copy.name} is there. Change what should differ.")
    return redirect("rule-edit", copy.pk)
