"""Controls in force and their history; setting, ending, and the policies of modes."""

from datetime import datetime, timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can_anywhere, person_of, require, visible_teams
from accounts.models import Team
from accounts.posted import author_of, report, text_of
from incidents.controls import (
    BY_PEOPLE,
    InForceAlready,
    end_control,
    extend_control,
    in_force,
    may_set,
    set_control,
    visible_controls,
)
from incidents.forms import DURATIONS, KIND_FIELDS, SLICE, ControlForm, LastsForm, PolicyForm
from incidents.models import Control, ModePolicy
from incidents.models.controls import Mode
from incidents.policies import facts, remove_policy, save_policy, visible_policies
from usage.links import tabs_of

HISTORY = 50
DOES = {
    "mode": "Makes the calls cheaper as the policies say, or blocks them.",
    "kill_switch": "Takes a tool away, or stops the calls of a feature, model or provider.",
    "breaker": "Stops every call of the slice; of one provider only, where you name one and a failover has others.",
    "failover": "Sends the calls to the first provider in the list that is not stopped.",
    "throttle": "Lets only so many calls of a queue class through a minute.",
    "rate_limit": "Lets only so many calls or tokens through a minute, or so many calls at once; the others are told "
    "when to come again. One that is to stay is kept under Guard, rate limits.",
}


def tabs(current: str) -> list[tuple[str, str, bool]]:
    names = (("Controls", "control-list"), ("Mode policies", "policy-list"))
    return tabs_of(names, current)


@login_required
@require_safe
def control_list(request: HttpRequest) -> HttpResponse:
    """What is in force now, then what was."""
    now, user = timezone.now(), person_of(request)
    mine = visible_controls(user)
    current = mine.filter(pk__in=in_force(now))
    return render(
        request,
        "incidents/controls.html",
        {
            "current": [(one, may_set(user, one.team), _longer(one, now)) for one in current],
            "past": mine.exclude(pk__in=in_force(now)).order_by("-created_at")[:HISTORY],
            "may_set": can_anywhere(user, "control.set"),
            "tabs": tabs("control-list"),
            "now": now,
        },
    )


def _longer(control: Control, now: datetime) -> list[tuple[str, str]]:
    """How much longer than now a control may be made to last: (minutes, label), "" for until it is ended."""
    if control.expires_at is None or control.origin not in BY_PEOPLE:
        return []
    left = control.expires_at - now
    later = [
        (value, f"{label} from now") for value, label in DURATIONS if value and timedelta(minutes=int(value)) > left
    ]
    return [*later, ("", dict(DURATIONS)[""])]


@login_required
def control_set(request: HttpRequest) -> HttpResponse:
    """Set a control; kind, mode, team and slice may come filled in by the query string."""
    user = person_of(request)
    if not can_anywhere(user, "control.set"):
        require(user, "control.set")
    form = ControlForm(request.POST or None, user=user, initial=_prefilled(request))
    if request.method == "POST" and form.is_valid():
        require(user, "control.set", form.where.team)
        try:
            control = set_control(
                author=author_of(request),
                where=form.where,
                what=form.what,
                reason=form.cleaned_data["reason"],
                expires_at=form.expires_at,
            )
        except InForceAlready as error:  # a double click, or somebody was faster: what was wanted is so
            messages.warning(request, error.message)
            return redirect("control-list")
        except ValidationError as error:
            report(form, error, {"expires_at": "lasts"})
        else:
            messages.success(request, f"{control} is in force. The guard's answers follow it from now on.")
            return redirect("control-list")
    chosen = str(form["kind"].value())
    kinds = [(label, f"?kind={value}", value == chosen) for value, label in Control.Kind.choices]
    context = {"form": form, "tabs": kinds, "does": DOES.get(chosen, "")}
    return render(request, "incidents/control_set.html", context)


def _prefilled(request: HttpRequest) -> dict[str, object]:
    names = ("mode", "tool_name", "queue_class", "failover_order", *KIND_FIELDS["rate_limit"], *SLICE)
    found: dict[str, object] = {name: request.GET[name] for name in names if name in request.GET}
    team = visible_teams(request.user).filter(slug=request.GET.get("team", "")).first()
    kind = request.GET.get("kind")
    return found | {"team": team, "kind": kind if kind in Control.Kind.values else "mode"}


def _settable(request: HttpRequest, pk: int) -> Control:
    """A control the viewer may set; 404 to a stranger, 403 without the right."""
    control = get_object_or_404(visible_controls(person_of(request)), pk=pk)
    require(request.user, "control.set", control.team)
    return control


@login_required
@require_POST
def control_extend(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a control last longer, counted from now."""
    control, form = _settable(request, pk), LastsForm(request.POST)
    try:
        if not form.is_valid():
            raise ValidationError(list(form.errors["lasts"]))
        extend_control(author=author_of(request), control=control, expires_at=form.expires_at)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"{control} lasts longer.")
    return redirect("control-list")


@login_required
@require_POST
def control_end(request: HttpRequest, pk: int) -> HttpResponse:
    control = _settable(request, pk)
    if control.mode == Mode.BLOCKED and control.origin != Control.Origin.PERSON:
        require(request.user, "budget.approve", control.team)  # it holds a budget, which one person may not lift
    try:
        end_control(author=author_of(request), control=control, reason=text_of(request, "reason"))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"{control} has ended.")
    return redirect("control-list")


@login_required
@require_safe
def policy_list(request: HttpRequest) -> HttpResponse:
    """What conserve and emergency mean, by team and feature."""
    user = person_of(request)
    rows = [(one, may_set(user, one.team)) for one in visible_policies(user)]
    may = can_anywhere(user, "control.set")
    return render(request, "incidents/policies.html", {"rows": rows, "may_set": may, "tabs": tabs("policy-list")})


@login_required
def policy_edit(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """Make a policy, or change one."""
    user = person_of(request)
    policy = get_object_or_404(visible_policies(user), pk=pk) if pk else None
    if not can_anywhere(user, "control.set"):
        require(user, "control.set")
    form = PolicyForm(request.POST or None, user=user, initial=_as_initial(policy) if policy else None)
    if request.method == "POST" and form.is_valid():
        return _save(request, form, policy) or render(
            request, "incidents/policy_form.html", {"form": form, "policy": policy, "tabs": tabs("policy-list")}
        )
    return render(request, "incidents/policy_form.html", {"form": form, "policy": policy, "tabs": tabs("policy-list")})


def _save(request: HttpRequest, form: PolicyForm, policy: ModePolicy | None) -> HttpResponse | None:
    team: Team | None = form.chosen_team
    require(request.user, "control.set", team)
    place = {"feature": form.cleaned_data["feature"].strip(), "mode": form.cleaned_data["mode"]}
    try:
        saved = save_policy(author=author_of(request), team=team, **place, values=form.values)
    except ValidationError as error:
        report(form, error, {"expires_at": "lasts"})
        return None
    if policy and policy.pk != saved.pk:
        messages.info(request, "It was saved for another team, feature or mode; the policy you came from stays.")
    messages.success(request, f"The policy for {saved} is saved.")
    return redirect("policy-list")


def _as_initial(policy: ModePolicy) -> dict[str, object]:
    lines = "\n".join(f"{asked} = {used}" for asked, used in policy.model_map.items())
    return facts(policy) | {"team": policy.team, "model_map": lines, "tools_off": ", ".join(policy.tools_off)}


@login_required
@require_POST
def policy_remove(request: HttpRequest, pk: int) -> HttpResponse:
    policy = get_object_or_404(visible_policies(person_of(request)), pk=pk)
    require(request.user, "control.set", policy.team)
    remove_policy(author=author_of(request), policy=policy)
    messages.success(request, "The policy is removed; the next more general one holds.")
    return redirect("policy-list")
