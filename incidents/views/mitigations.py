"""Mitigations of an incident: buttons that act through the guard, steps told, ends, and the watch panel."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import can, person_of, require
from accounts.posted import author_of, text_of, whole_number
from aiops_site.charts import Chart, Marker, Series
from incidents.actions.triage import Plan, mitigate, origin_of, unmitigate
from incidents.controls import in_force
from incidents.forms.controls import DURATIONS
from incidents.models import Control, FailureMode, Incident
from incidents.queries.incidents import get_incident
from incidents.queries.watch import Watched, watched
from incidents.rules.triage.advice import Mitigation
from incidents.rules.triage.signals import WATCHED
from incidents.triage import Assessment, mitigations
from incidents.triage.window import scope_of, usual_of
from incidents.views.triage import assessed, panel
from usage.metrics import QueryError
from usage.scope import zone_of

# What was offered comes back signed: it is done just as it was shown, however the figures moved meanwhile.
SALT = "incidents.mitigation"
OFFER_LASTS = timedelta(hours=2)
# What a rate limit is given in: field → as people read it.
AMOUNTS = {
    "requests_per_minute": "Calls a minute",
    "tokens_per_minute": "Tokens a minute",
    "concurrency": "Calls at once",
}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def incident_mitigations(request: HttpRequest, pk: int) -> HttpResponse:
    """What fits the failure mode (`mode` for another one), to put in force; what is in force, to end."""
    incident, now = get_incident(person_of(request), pk), timezone.now()
    if request.method == "POST":
        return _mitigate(request, incident, now)
    mode = request.GET.get("mode", "") or incident.failure_mode
    mode = mode if mode in FailureMode.values else ""
    may_set = can(request.user, "control.set", incident.team)
    context: dict[str, Any] = {"may_set": may_set, "mode": mode, "choices": FailureMode.choices, "now": now}
    context |= {"durations": DURATIONS, "current": _current(incident, now)}
    try:
        found = assessed(incident, now)
        fitting = mitigations(found, mode, scope_of(incident))
        context["offers"] = [_offer(incident, found, one) for one in fitting if not _is_set(one, context["current"])]
        context["for_mode"] = FailureMode(mode).label if mode else _first(found)
        context["is_guess"] = not mode
    except QueryError as error:
        context["problem"] = str(error)
    return panel(request, "mitigations", incident, "Mitigations", context)


def _first(found: Assessment) -> str:
    return found.first.mode.label if found.confidence != "none" else ""


def _current(incident: Incident, now: datetime) -> list[Control]:
    return list(in_force(now).filter(origin=Control.Origin.INCIDENT, origin_key=origin_of(incident)))


def _is_set(one: Mitigation, current: list[Control]) -> bool:
    """Whether just this is in force already: it is on top of the panel, with its undo."""
    asked = (one.what | one.where).items()
    return bool(one.what) and any(all(getattr(c, name) == value for name, value in asked) for c in current)


def _offer(incident: Incident, found: Assessment, one: Mitigation) -> dict[str, Any]:
    """A mitigation as the page shows it; `token` is what is posted back."""
    usual = usual_of(found, one)
    facts: dict[str, Any] = {
        "title": one.title,
        "kind": one.kind,
        "signal": one.signal,
        "what": one.what,
        "where": one.where,
    }
    facts |= {"watched": one.watched, "change": one.change, "usual": usual, "incident": incident.pk}
    signal = WATCHED[one.signal].label
    amounts = [(name, AMOUNTS[name], amount) for name, amount in one.amounts.items()]
    return {"one": one, "token": signing.dumps(facts, salt=SALT), "watches": signal, "amounts": amounts}


def _mitigate(request: HttpRequest, incident: Incident, now: datetime) -> HttpResponse:
    require(request.user, "incident.work", incident.team)
    back = redirect(f"{reverse('incident-detail', args=[incident.pk])}#mitigations")
    try:
        facts = signing.loads(text_of(request, "token", 20_000), salt=SALT, max_age=OFFER_LASTS)
    except signing.BadSignature:
        messages.error(request, "That offer is too old. Choose again from what fits now.")
        return back
    if facts.pop("incident") != incident.pk:
        messages.error(request, "That offer was made for another incident.")
        return back
    plan = Plan(team=incident.team, **facts)
    require(request.user, "control.set" if plan.kind == "control" else "change.add", incident.team)
    minutes = text_of(request, "lasts")
    lasts = timedelta(minutes=int(minutes)) if minutes in {value for value, _ in DURATIONS if value} else None
    reason = text_of(request, "reason") or f"{incident.number}: {plan.title}"
    try:
        plan.what.update(_amounts(request, plan))
        mitigate(
            author=author_of(request),
            incident=incident,
            plan=plan,
            reason=reason,
            expires_at=now + lasts if lasts else None,
            at=now,
        )
    except ValidationError as error:
        messages.error(request, _said(error))
        return back
    said = "is in force. The guard's answers follow it from now on" if plan.kind == "control" else "is in the timeline"
    messages.success(request, f"{plan.title}: this {said}. Watch below whether it helps.")
    return redirect(f"{reverse('incident-detail', args=[incident.pk])}#watch")


def _amounts(request: HttpRequest, plan: Plan) -> dict[str, int | None]:
    """How much a rate limit lets through is for people to say; None where it is left empty.

    Raises ValidationError by field where one is no whole number.
    """
    if plan.what.get("kind") != Control.Kind.RATE_LIMIT:
        return {}
    said = {name: text_of(request, name) for name in AMOUNTS}
    if wrong := [name for name, text in said.items() if text and whole_number(text) is None]:
        raise ValidationError({wrong[0]: "Give a whole number from 1, or leave it empty."})
    return {name: whole_number(text) for name, text in said.items()}


def _said(error: ValidationError) -> str:
    """What was refused, with the name of a number's field."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    told = [(AMOUNTS.get(name, ""), text) for name, texts in error.message_dict.items() for text in texts]
    return " ".join(f"{label}: {text}" if label else text for label, text in told)


@login_required
@require_POST
def incident_mitigation_end(request: HttpRequest, pk: int, control: int) -> HttpResponse:
    """End a control that the incident set: the undo."""
    incident = get_incident(person_of(request), pk)
    mine = Control.objects.filter(origin=Control.Origin.INCIDENT, origin_key=origin_of(incident))
    one = get_object_or_404(mine.select_related("team"), pk=control)
    require(request.user, "control.set", one.team)
    reason = text_of(request, "reason") or f"{incident.number}: not needed any more"
    try:
        unmitigate(author=author_of(request), incident=incident, control=one, reason=reason, at=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"{one} has ended.")
    return redirect(f"{reverse('incident-detail', args=[incident.pk])}#watch")


@login_required
@require_safe
def incident_watch(request: HttpRequest, pk: int) -> HttpResponse:
    """After each mitigation: the signal before, at and now, drawn with the mitigation, and whether it helped."""
    incident, now = get_incident(person_of(request), pk), timezone.now()
    context: dict[str, Any] = {"now": now, "may_set": can(request.user, "control.set", incident.team)}
    try:
        found = watched(incident, now)
        rows = [
            (one, one.in_force(now), _chart(request, one) if place == 0 else None) for place, one in enumerate(found)
        ]
        context |= {
            "rows": rows,
            "recovered": bool(found) and _is_over(found[0]) and any(one.in_force(now) for one in found),
        }
    except QueryError as error:
        context["problem"] = str(error)
    return panel(request, "watch", incident, "Did it help?", context)


def _is_over(last: Watched) -> bool:
    """Whether it is time to end what is in force: back to usual, and not said while it is too early to tell."""
    return last.back and last.verdict.outcome != "early"


def _chart(request: HttpRequest, one: Watched) -> Chart:
    zone = zone_of(request.user)
    usual = [(at, one.usual) for at, _ in one.points] if one.usual is not None else []
    return Chart(
        id=f"watch-{one.entry.pk}",
        title=one.verdict.text,
        unit=one.signal.unit,
        series=[Series(one.signal.label, one.points), *([Series("Usual", usual, previous=True)] if usual else [])],
        tz=zone,
        start=one.start,
        end=one.end,
        step=one.step,
        markers=[Marker(one.entry.at, one.title, "")],
        height="small",
    )
