"""What is done to an incident from its page: each a POST that answers with the page, or with what changed meanwhile."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.access import person_of, require
from accounts.models import User
from accounts.posted import author_of, text_of, whole_number
from incidents.actions.incidents import Changed, acknowledge, edit_incident, move_incident
from incidents.actions.links import link_incidents, merge_incident, unlink_incidents
from incidents.actions.notes import pin, strike, write_note
from incidents.actions.roles import give_role
from incidents.forms.incidents import IncidentForm, initial_of
from incidents.images import picture_of
from incidents.models import Incident, TimelineEntry
from incidents.queries.evidence import freeze
from incidents.queries.incidents import get_incident, visible_incidents
from incidents.queries.people import workers_of
from incidents.queries.slices import slice_of
from incidents.queries.timeline import changes_since
from incidents.rules.severity import CRITERIA
from incidents.views.incident import detail
from usage.metrics import CATALOGUE, QueryError

Act = Callable[[HttpRequest, Incident], HttpResponse | None]


def act(view: Act) -> Callable[..., HttpResponse]:
    """A POST on an incident by somebody who may work it; refusals become a message, a lost race a 409."""

    @login_required
    @require_POST
    @wraps(view)
    def posted(request: HttpRequest, pk: int) -> HttpResponse:
        incident = get_incident(person_of(request), pk)
        require(request.user, "incident.work", incident.team)
        try:
            return view(request, incident) or redirect("incident-detail", incident.pk)
        except Changed as error:
            return changed_meanwhile(request, error)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return redirect("incident-detail", incident.pk)

    return posted


def changed_meanwhile(request: HttpRequest, error: Changed) -> HttpResponse:
    """409: what others changed, and what was posted, ready to be sent again on top of it."""
    kept = [
        (name, value)
        for name, values in request.POST.lists()
        for value in values
        if name not in ("csrfmiddlewaretoken", "version")
    ]
    context = {"incident": error.incident, "changes": changes_since(error.incident, error.version), "kept": kept}
    return render(request, "incidents/incidents/changed.html", context, status=409)


def version_of(request: HttpRequest) -> int | None:
    """The version that the person saw; None where none was sent, which nothing on the desk's pages does."""
    return whole_number(request.POST.get("version", ""))


@act
def incident_acknowledge(request: HttpRequest, incident: Incident) -> None:
    acknowledge(author=author_of(request), incident=incident, at=timezone.now())


@act
def incident_move(request: HttpRequest, incident: Incident) -> None:
    """Go to another state; without the version seen it is refused, so that no two people move it at once unseen."""
    version = version_of(request)
    if version is None:
        raise ValidationError("Reload the page and try again: the form did not say which state it was made for.")
    try:
        moved = move_incident(
            author=author_of(request),
            incident=incident,
            to=text_of(request, "to", 20),
            at=timezone.now(),
            version=version,
            note=text_of(request, "note"),
        )
    except ValueError as error:
        raise ValidationError(str(error)) from error
    messages.success(request, f"{moved.number} is {moved.get_state_display().lower()}.")


@login_required
def incident_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change what the incident says. Where others changed it meanwhile: 409 with theirs beside what was typed."""
    user = person_of(request)
    incident = get_incident(user, pk)
    require(user, "incident.work", incident.team)
    form = IncidentForm(request.POST or None, user=user, kept=incident.scope, initial=initial_of(incident))
    context = {"form": form, "incident": incident, "criteria": CRITERIA, "version": incident.version}
    if request.method == "POST" and form.is_valid():
        require(user, "incident.work", form.cleaned_data["team"])
        try:
            edit_incident(
                author=author_of(request),
                incident=incident,
                version=version_of(request) or 0,
                at=timezone.now(),
                team=form.cleaned_data["team"],
                **form.facts,
            )
        except Changed as error:
            context |= {"version": error.incident.version, "changes": changes_since(error.incident, error.version)}
            return render(request, "incidents/incidents/edit.html", context, status=409)
        return redirect("incident-detail", incident.pk)
    if form.is_bound:
        context["version"] = version_of(request) or 0
    return render(request, "incidents/incidents/edit.html", context)


@act
def incident_note(request: HttpRequest, incident: Incident) -> HttpResponse:
    upload, text = request.FILES.get("image"), request.POST.get("text", "")
    try:
        picture = picture_of(upload) if upload else None
        write_note(author=author_of(request), incident=incident, text=text, at=timezone.now(), picture=picture)
    except ValidationError as error:
        return detail(request, incident, draft=text, refused=" ".join(error.messages))
    return redirect(f"{reverse('incident-detail', args=[incident.pk])}#note")


@login_required
@require_POST
def incident_strike(request: HttpRequest, pk: int, entry: int) -> HttpResponse:
    incident = get_incident(person_of(request), pk)
    require(request.user, "incident.work", incident.team)
    written = get_object_or_404(TimelineEntry, incident=incident, pk=entry)
    try:
        strike(author=author_of(request), entry=written, at=timezone.now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect(f"{reverse('incident-detail', args=[incident.pk])}#timeline")


@act
def incident_pin(request: HttpRequest, incident: Incident) -> HttpResponse:
    """Freeze a chart of the incident's slice, from an hour before its impact on."""
    metric, breakdown, now = text_of(request, "metric", 60), text_of(request, "breakdown", 60), timezone.now()
    if metric not in CATALOGUE:
        raise ValidationError("Choose the figure to pin.")
    try:
        frozen = freeze(slice_of(incident, now).with_lead(), metric, breakdown, now)
    except QueryError as error:
        raise ValidationError(str(error)) from error
    title = text_of(request, "title", 200) or frozen["label"] + (f" by {breakdown}" if breakdown else "")
    entry = pin(author=author_of(request), incident=incident, title=title, frozen=frozen, at=now)
    return redirect(reverse("incident-evidence", args=[incident.pk, entry.pk]))


@act
def incident_role(request: HttpRequest, incident: Incident) -> None:
    """Take a role (no user), give it to somebody, or give it up (user 0)."""
    person = whole_number(request.POST.get("user", ""))
    user: User | None = person_of(request)
    if person == 0:
        user = None
    elif person is not None:
        user = get_object_or_404(workers_of(incident), pk=person)
    role = text_of(request, "role", 20)
    give_role(author=author_of(request), incident=incident, role=role, user=user, at=timezone.now())


def _other(request: HttpRequest) -> Incident:
    """The incident that a form names: INC-12 or 12, of those that the person sees."""
    number = whole_number(text_of(request, "other", 30).upper().removeprefix("INC-"))
    found = visible_incidents(person_of(request)).filter(pk=number).first() if number else None
    if found is None:
        raise ValidationError("There is no such incident. Write its number: INC-12.")
    require(request.user, "incident.work", found.team)
    return found


@act
def incident_link(request: HttpRequest, incident: Incident) -> None:
    facts: dict[str, Any] = {"author": author_of(request), "incident": incident, "at": timezone.now()}
    if request.POST.get("merge"):
        merge_incident(into=_other(request), **facts)
    elif request.POST.get("unlink"):
        unlink_incidents(other=_other(request), **facts)
    else:
        link_incidents(other=_other(request), **facts)
