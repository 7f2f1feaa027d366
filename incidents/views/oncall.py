"""On call: who is now and in the weeks ahead, rotas, escalation, pages under way, and the calendar feed."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, get_team, person_of, require, visible_teams
from accounts.models import Team, User
from accounts.posted import author_of, report, text_of
from incidents.actions import escalating
from incidents.actions import oncall as actions
from incidents.forms.oncall import OverrideForm, PolicyForm, RotaForm
from incidents.models import EscalationPolicy, Rota, RotaOverride
from incidents.queries.escalations import visible_escalations, visible_policies
from incidents.queries.oncall import Duty, duty, visible_rotas, with_people
from incidents.queries.rota_calendar import AHEAD, feed, listed, problems, shifts
from incidents.views.tabs import alert_tabs

RECENT = 10


@login_required
@require_safe
def oncall(request: HttpRequest) -> HttpResponse:
    """Who is on call, what is not covered, pages under way, and the weeks ahead."""
    user, now = person_of(request), timezone.now()
    rotas, teams = list(visible_rotas(user)), list(visible_teams(user))
    pages = visible_escalations(user)
    duties = [duty(rota, now) for rota in rotas]
    context = {
        "duties": [(one, shifts(one.rota, now, now + AHEAD)) for one in duties],
        "by_person": _by_person(duties),
        "problems": problems(rotas, teams, now) if rotas else [],
        "climbing": [(one, can(user, "alert.acknowledge", one.team)) for one in pages.filter(ended_at=None)],
        "past": pages.exclude(ended_at=None)[:RECENT],
        "policies": [(one, can(user, "oncall.edit", one.team)) for one in visible_policies(user)],
        "policy_places": _policy_places(user, teams),
        "may_edit": can_anywhere(user, "oncall.edit"),
        "now": now,
        "end": now + AHEAD,
        "tabs": alert_tabs("oncall"),
    }
    return render(request, "incidents/oncall/oncall.html", context)


def _by_person(duties: list[Duty]) -> list[tuple[str, str]]:
    """(who is on call, for what), in the order of the rotas."""
    found: dict[str, list[str]] = {}
    for one in duties:
        found.setdefault(str(one.user or "nobody"), []).append(str(one.rota.team or "every other team"))
    return [(name, listed(list(dict.fromkeys(teams)))) for name, teams in found.items()]


def _policy_places(user: User, teams: list[Team]) -> list[tuple[str, str]]:
    """(label, address) of the escalation policies that the person could still add."""
    there = set(EscalationPolicy.objects.values_list("team", flat=True))
    places: list[tuple[str, str, int | None]] = [("every team", "all", None)] if can(user, "oncall.edit") else []
    places += [(one.name, one.slug, one.pk) for one in teams if can(user, "oncall.edit", one)]
    return [(label, reverse("escalation-edit", args=[slug])) for label, slug, pk in places if pk not in there]


@login_required
def rota_edit(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """Make a rota, or change one."""
    user = person_of(request)
    rota = _managed(request, pk) if pk else None
    if not can_anywhere(user, "oncall.edit"):
        require(user, "oncall.edit")
    initial = _initial(rota) if rota else {"starts_on": timezone.localdate(), "zone": user.time_zone}
    form = RotaForm(request.POST or None, user=user, rota=rota, initial=initial)
    if request.method == "POST" and form.is_valid():
        require(user, "oncall.edit", form.cleaned_data["team"])
        try:
            saved = actions.save_rota(author=author_of(request), rota=rota, facts=form.facts)
        except ValidationError as error:
            report(form, error)
        else:
            messages.success(request, f"{saved} is saved.")
            return redirect("rota-detail", saved.pk)
    return render(request, "incidents/oncall/rota_form.html", _with_tabs(form=form, rota=rota))


def _initial(rota: Rota) -> dict[str, object]:
    names = ("team", "name", "level", "days", "starts_on", "handover_at", "zone")
    people = "\n".join(one.user.email for one in rota.members.all())
    return {name: getattr(rota, name) for name in names} | {"members": people}


def _with_tabs(**context: object) -> dict[str, object]:
    return {"tabs": alert_tabs("oncall")} | context


def _managed(request: HttpRequest, pk: int) -> Rota:
    """A rota the person may change. 404 to a stranger, 403 without the right."""
    rota = get_object_or_404(visible_rotas(person_of(request)), pk=pk)
    require(request.user, "oncall.edit", rota.team)
    return rota


@login_required
@require_safe
def rota_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Its weeks ahead, overrides, hand-over note and feed."""
    rota = get_object_or_404(visible_rotas(person_of(request)), pk=pk)
    return _detail(request, rota, OverrideForm(rota=rota))


def _detail(request: HttpRequest, rota: Rota, form: OverrideForm, token: str = "") -> HttpResponse:
    now = timezone.now()
    context = _with_tabs(
        rota=rota,
        duty=duty(rota, now),
        shifts=shifts(rota, now, now + AHEAD),
        overrides=[one for one in rota.overrides.all() if one.ends_at > now],
        form=form,
        may_edit=can(request.user, "oncall.edit", rota.team),
        may_note=can(request.user, "alert.acknowledge", rota.team),
        feed_url=request.build_absolute_uri(reverse("rota-feed", args=[token])) if token else "",
        now=now,
        end=now + AHEAD,
    )
    return render(request, "incidents/oncall/rota.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def override_add(request: HttpRequest, pk: int) -> HttpResponse:
    rota = _managed(request, pk)
    form = OverrideForm(request.POST, rota=rota)
    if form.is_valid():
        try:
            made = actions.add_override(author=author_of(request), rota=rota, **form.cleaned_data)
        except ValidationError as error:
            report(form, error)
        else:
            messages.success(request, f"{made}.")
            return redirect("rota-detail", rota.pk)
    return _detail(request, rota, form)


@login_required
@require_POST
def override_remove(request: HttpRequest, pk: int) -> HttpResponse:
    override = get_object_or_404(RotaOverride.objects.select_related("user", "rota__team"), pk=pk)
    _managed(request, override.rota_id)
    actions.remove_override(author=author_of(request), override=override)
    messages.success(request, "The override is removed; the rota holds again.")
    return redirect("rota-detail", override.rota_id)


@login_required
@require_POST
def rota_note(request: HttpRequest, pk: int) -> HttpResponse:
    """Leave the hand-over note; whoever may acknowledge alerts may be on call."""
    rota = get_object_or_404(visible_rotas(person_of(request)), pk=pk)
    require(request.user, "alert.acknowledge", rota.team)
    note = text_of(request, "note", 5000)
    actions.leave_note(author=author_of(request), rota=rota, text=note, at=timezone.now())
    messages.success(request, "The hand-over note is saved.")
    return redirect("rota-detail", rota.pk)


@login_required
@require_POST
def rota_remove(request: HttpRequest, pk: int) -> HttpResponse:
    rota = _managed(request, pk)
    try:
        actions.remove_rota(author=author_of(request), rota=rota)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("rota-detail", rota.pk)
    messages.success(request, f"{rota} is removed.")
    return redirect("oncall")


@login_required
@require_POST
def rota_calendar(request: HttpRequest, pk: int) -> HttpResponse:
    """A new address of the feed, shown once."""
    rota = _managed(request, pk)
    token = actions.new_calendar(author=author_of(request), rota=rota)
    return _detail(request, get_object_or_404(visible_rotas(person_of(request)), pk=pk), OverrideForm(rota=rota), token)


@require_safe
def rota_feed(request: HttpRequest, token: str) -> HttpResponse:
    """The rota as iCalendar. Calendars cannot sign in: the secret in the address is the key."""
    digest = actions.token_digest(token)
    rota = with_people(Rota.objects.filter(calendar_digest=digest)).first()
    if rota is None:
        raise Http404
    answer = HttpResponse(feed(rota, timezone.now()), content_type="text/calendar; charset=utf-8")
    answer.headers["Cache-Control"] = "private, max-age=300"
    return answer


@login_required
def escalation_edit(request: HttpRequest, slug: str) -> HttpResponse:
    """The steps of a team's pages; `all` is the policy for every team without its own."""
    user = person_of(request)
    team = None if slug == "all" else get_team(user, slug)
    require(user, "oncall.edit", team)
    policy = EscalationPolicy.objects.filter(team=team).first()
    form = PolicyForm(request.POST or None, user=user, policy=policy, team=team)
    if request.method == "POST" and form.is_valid():
        rounds = form.cleaned_data["rounds"]
        actions.save_policy(author=author_of(request), team=team, rounds=rounds, steps=form.steps)
        messages.success(request, "From now on pages climb by these steps.")
        return redirect("oncall")
    return render(request, "incidents/oncall/policy_form.html", _with_tabs(form=form, policy=policy, team=team))


@login_required
@require_POST
def escalation_remove(request: HttpRequest, pk: int) -> HttpResponse:
    policy = get_object_or_404(visible_policies(person_of(request)), pk=pk)
    require(request.user, "oncall.edit", policy.team)
    actions.remove_policy(author=author_of(request), policy=policy)
    messages.success(request, "The policy is removed.")
    return redirect("oncall")


@login_required
@require_POST
def escalation_acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a page."""
    escalation = get_object_or_404(visible_escalations(person_of(request)), pk=pk)
    require(request.user, "alert.acknowledge", escalation.team)
    if escalating.acknowledge(author=author_of(request), escalation=escalation, at=timezone.now()):
        messages.success(request, "It is yours. Nobody further is paged.")
    else:
        messages.info(request, "It had ended by then.")
    return redirect("oncall")
