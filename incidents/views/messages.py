"""Messages of an incident: the panel, and one message from draft to sent."""

from typing import Any

from django.contrib import messages as notes
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import can, person_of, require
from accounts.posted import author_of, report, text_of, whole_number
from incidents.actions.messages import Stale, approve, ask_review, discard, edit_message, send, start_message
from incidents.forms.messages import MessageForm
from incidents.models import Incident, Message
from incidents.queries.incidents import get_incident
from incidents.queries.messages import leads, messages_of
from incidents.rules.messages import gaps, why_not
from incidents.views.incident_acts import act

DOES = {"review": ask_review, "approve": approve, "send": send}
SAID = {"review": "Others are asked to review it.", "approve": "Approved.", "send": "Sent."}


@login_required
@require_safe
def incident_messages(request: HttpRequest, pk: int) -> HttpResponse:
    """What was told and what is being written; a panel of the incident's page."""
    user, incident = person_of(request), get_incident(person_of(request), pk)
    outside = not (incident.is_private or incident.is_drill)
    context = {
        "incident": incident,
        "messages_of": list(messages_of(incident)[:30]),
        "kinds": [pair for pair in Message.Kind.choices if outside or pair[0] not in ("status", "customer")],
        "may_work": can(user, "incident.work", incident.team),
        "now": timezone.now(),
    }
    template = "incidents/messages/panel.html"
    if request.headers.get("HX-Request"):
        return render(request, template, context)
    return render(request, "incidents/incidents/part.html", context | {"template": template, "title": "Messages"})


@act
def message_add(request: HttpRequest, incident: Incident) -> HttpResponse:
    kind, now = text_of(request, "kind", 20), timezone.now()
    message = start_message(author=author_of(request), incident=incident, kind=kind, at=now)
    return redirect("incident-message", incident.pk, message.pk)


@login_required
def incident_message(request: HttpRequest, pk: int, message: int) -> HttpResponse:
    """One message: edited while it is not sent, then read. Every button saves what was typed first."""
    user = person_of(request)
    incident = get_incident(user, pk)
    row = get_object_or_404(messages_of(incident), pk=message)
    form = MessageForm(request.POST or None, message=row)
    context = _context(request, incident, row, form)
    if request.method != "POST":
        return render(request, "incidents/messages/message.html", context)
    require(user, "incident.work", incident.team)
    status = 200
    if form.is_valid():
        try:
            return _done(request, incident, row, form)
        except Stale as error:
            status = 409
            context |= {"theirs": error.message, "version": error.message.version}
        except ValidationError as error:
            report(form, error)
            row.refresh_from_db()  # what was typed is saved; the act was refused
            context["version"] = row.version
    return render(request, "incidents/messages/message.html", context, status=status)


def _done(request: HttpRequest, incident: Incident, row: Message, form: MessageForm) -> HttpResponse:
    author, now, do = author_of(request), timezone.now(), text_of(request, "do", 10)
    version = whole_number(request.POST.get("version", "")) or 0
    if do == "discard":
        discard(author=author, message=row, version=version)
        notes.success(request, "The draft is gone.")
        return redirect("incident-detail", incident.pk)
    saved = edit_message(author=author, message=row, version=version, **form.texts)
    if do in DOES:
        DOES[do](author=author, message=saved, version=saved.version, at=now)
        notes.success(request, SAID[do])
        return redirect("incident-detail", incident.pk)
    notes.success(request, "Saved.")
    return redirect("incident-message", incident.pk, row.pk)


def _context(request: HttpRequest, incident: Incident, row: Message, form: MessageForm) -> dict[str, Any]:
    user = person_of(request)
    refused = why_not(
        row.kind,
        approved=row.approved_by is not None,
        leads=leads(incident, user),
        private=incident.is_private,
        drill=incident.is_drill,
    )
    return {
        "incident": incident,
        "message": row,
        "form": form,
        "version": row.version,
        "may_work": can(user, "incident.work", incident.team),
        "is_open": row.state in ("draft", "review", "approved"),
        "may_approve": row.author_id != user.pk,
        "refused": refused,
        "gaps": gaps(f"{row.subject}\n{row.body}"),
        "now": timezone.now(),
    }
