"""Postmortems: the library, the document, its exports, and starting one from an incident."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import can, person_of, require
from accounts.posted import author_of, whole_number
from aiops_site.charts import Chart, Marker, Series
from incidents.actions.postmortems import lacking, may_sign, start_postmortem
from incidents.models import FailureMode, Postmortem
from incidents.pdf import pdf_of
from incidents.queries.incidents import get_incident
from incidents.queries.postmortems import (
    document_of,
    overdue,
    search,
    similar_to,
    trends,
    visible_items,
    visible_postmortems,
    without_postmortem,
)
from incidents.rules.export import length, markdown_of
from incidents.rules.markdown import html_of
from incidents.rules.postmortems import blaming
from usage.links import tabs_of
from usage.scope import zone_of

MODES = dict(FailureMode.choices)
SHOWN = 200
DUE_WITHIN = timedelta(hours=48)  # from the end of the incident


def tabs(current: str, late: int) -> list[tuple[str, str, bool]]:
    """The two pages: the library and the action items, with how many of those are overdue."""
    items = f"Action items ({late} overdue)" if late else "Action items"
    return tabs_of((("Library", "postmortem-list"), (items, "action-list")), current)


@login_required
@require_safe
def postmortem_list(request: HttpRequest) -> HttpResponse:
    """Every postmortem, or those that say the words of `q`, of a failure mode (`mode`) or in a state (`state`)."""
    user, today = person_of(request), timezone.localdate()
    words, mode = request.GET.get("q", "").replace("\0", "").strip()[:200], request.GET.get("mode", "")
    state = request.GET.get("state", "")
    every = visible_postmortems(user)
    found = search(every, words) if words else {}
    shown = every.filter(pk__in=found) if words else every
    shown = shown.filter(incident__failure_mode=mode) if mode in MODES else shown
    shown = shown.filter(state=state) if state in Postmortem.State.values else shown
    shown = shown.annotate(open_items=Count("items", filter=Q(items__closed_at=None)))[:SHOWN]
    rows = [(one, found.get(one.pk, (0, ""))[1]) for one in shown]
    rows.sort(key=lambda row: -found.get(row[0].pk, (0, ""))[0])
    months, by_mode = trends(user, today)
    late = visible_items(user).filter(overdue(today)).count()
    context: dict[str, Any] = {
        "rows": rows,
        "words": words,
        "mode": mode,
        "state": state,
        "states": Postmortem.State.choices,
    }
    context |= {
        "modes": FailureMode.choices,
        "months": months,
        "trends": by_mode,
        "tabs": tabs("postmortem-list", late),
    }
    context |= {"waiting": without_postmortem(user)[:SHOWN], "due_before": timezone.now() - DUE_WITHIN}
    return render(request, "incidents/postmortems/list.html", context | {"any": bool(rows) or every.exists()})


@login_required
def incident_postmortem(request: HttpRequest, pk: int) -> HttpResponse:
    """The postmortem of an incident: there already, or started by a POST."""
    user = person_of(request)
    incident = get_incident(user, pk)
    known = Postmortem.objects.filter(incident=incident).first()
    if known is None and request.method == "POST":
        require(user, "incident.work", incident.team)
        known = start_postmortem(author=author_of(request), incident=incident, at=timezone.now())
    if known is not None:
        return redirect("postmortem-detail", known.pk)
    context = {"incident": incident, "may_work": can(user, "incident.work", incident.team)}
    return render(request, "incidents/postmortems/start.html", context | {"similar": similar_to(user, incident)})


@login_required
@require_safe
def postmortem_detail(request: HttpRequest, pk: int, number: int | None = None) -> HttpResponse:
    """The document; of a published one, version `number` or the latest as it was signed off."""
    user = person_of(request)
    postmortem = get_object_or_404(visible_postmortems(user), pk=pk)
    document = _document(postmortem, number)
    may_work = can(user, "incident.work", postmortem.incident.team)
    is_draft = postmortem.state != Postmortem.State.PUBLISHED and number is None
    context = {
        "postmortem": postmortem,
        "incident": postmortem.incident,
        "document": document,
        "number": number,
        "sections": {
            name: (title, html_of(text) if text.strip() else "") for name, title, text in document["sections"]
        },
        "times": [(label, moment(at)) for label, at in document["times"]],
        "clocks": [(name, words, length(seconds)) for name, words, seconds in document["clocks"]],
        "timeline": [(moment(at), kind, text, who) for at, kind, text, who in document["timeline"]],
        "facts_at": moment(document["facts_at"]),
        "charts": [chart_of(chart, f"{pk}-{place}", zone_of(user)) for place, chart in enumerate(document["charts"])],
        "items": visible_items(user).filter(postmortem=postmortem),
        "similar": similar_to(user, postmortem.incident),
        "versions": postmortem.versions.select_related("author", "reviewer"),
        "today": timezone.localdate(),
        "may_work": may_work,
        "is_draft": is_draft,
        "may_sign": may_work and may_sign(postmortem, user),
    }
    if is_draft:
        plain = {name: text for name, _, text in document["sections"]}
        context |= {"lacks": lacking(postmortem), "blaming": blaming(plain, document["whys"])}
    return render(request, "incidents/postmortems/detail.html", context)


def _document(postmortem: Postmortem, number: int | None) -> dict[str, Any]:
    """As it was published where `number` says so or it is published; else as it stands."""
    if number is not None:
        return get_object_or_404(postmortem.versions, number=number).document
    latest = postmortem.versions.first() if postmortem.state == Postmortem.State.PUBLISHED else None
    return latest.document if latest else document_of(postmortem)


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def chart_of(frozen: dict[str, Any], name: str, zone) -> Chart:
    """A frozen chart as pages draw it."""
    points, before = ([(datetime.fromisoformat(at), y) for at, y in frozen[part]] for part in ("points", "before"))
    series = [Series("In the incident", points, tone="bad"), Series("A week earlier", before, previous=True)]
    marks = [Marker(datetime.fromisoformat(at), label) for at, label in frozen["marks"]]
    start, end = points[0][0], points[-1][0]
    return Chart(
        f"postmortem-{name}",
        frozen["title"],
        frozen["unit"] or "calls",
        series,
        tz=zone,
        step=frozen["step"],
        start=start,
        end=end,
        markers=marks,
        height="small",
        log_y=frozen["unit"] == "ms",
    )


@login_required
@require_safe
def postmortem_markdown(request: HttpRequest, pk: int) -> HttpResponse:
    return _file(request, pk, "md", lambda document: markdown_of(document).encode(), "text/markdown; charset=utf-8")


@login_required
@require_safe
def postmortem_pdf(request: HttpRequest, pk: int) -> HttpResponse:
    return _file(request, pk, "pdf", pdf_of, "application/pdf")


def _file(request: HttpRequest, pk: int, ending: str, made, content_type: str) -> HttpResponse:
    """The document as a file; an older version by `version=N`."""
    postmortem = get_object_or_404(visible_postmortems(person_of(request)), pk=pk)
    body = made(_document(postmortem, whole_number(request.GET.get("version", ""))))
    name = f"postmortem-{postmortem.incident.number.lower()}.{ending}"
    return HttpResponse(
        body, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
