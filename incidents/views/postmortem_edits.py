"""Writing a postmortem: edit without losing another's, review by a second person, publish, revise."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.access import person_of, require
from accounts.posted import author_of, report, text_of
from incidents.actions.postmortems import (
    Outdated,
    edit_postmortem,
    publish,
    revise,
    send_back,
    submit,
    take_in_facts,
)
from incidents.forms.postmortems import PostmortemForm, as_initial
from incidents.models import Postmortem
from incidents.queries.postmortems import visible_postmortems
from incidents.rules.postmortems import SECTIONS, outline
from incidents.rules.runbooks import differing


def workable(request: HttpRequest, pk: int) -> Postmortem:
    """A postmortem that the person may write; 404 to a stranger, 403 to who may only read."""
    postmortem = get_object_or_404(visible_postmortems(person_of(request)), pk=pk)
    require(request.user, "incident.work", postmortem.incident.team)
    return postmortem


@login_required
def postmortem_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Its texts. Where somebody saved meanwhile: 409, with what was typed kept and what they wrote."""
    postmortem = workable(request, pk)
    if postmortem.state == Postmortem.State.PUBLISHED:
        return redirect("postmortem-detail", pk)
    form = PostmortemForm(request.POST or None, initial=as_initial(postmortem))
    if request.method == "POST" and form.is_valid():
        try:
            edit_postmortem(
                author=author_of(request), postmortem=postmortem, base=form.cleaned_data["base"], values=form.values
            )
        except Outdated as outdated:
            return _conflict(request, outdated.postmortem, form)
        except ValidationError as error:
            report(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect("postmortem-detail", pk)
    return render(request, "incidents/postmortems/form.html", {"form": form, "postmortem": postmortem})


def _conflict(request: HttpRequest, current: Postmortem, form: PostmortemForm) -> HttpResponse:
    """What stands there now against what was typed, section by section."""
    data = request.POST.copy()
    data["base"] = str(current.version)
    titles = {name: title for name, title, _ in SECTIONS} | {"whys": "Whys"}
    theirs = {name: getattr(current, name) for name, _, _ in SECTIONS} | {"whys": outline(current.whys)}
    mine = form.values | {"whys": outline(form.values["whys"])}
    lines = [(titles[name], rows) for name, rows in differing({n: mine[n] for n in theirs}, theirs)]
    context = {"form": PostmortemForm(data), "postmortem": current, "theirs": lines, "editor": current.edited_by}
    return render(request, "incidents/postmortems/form.html", context, status=409)


def _act(request: HttpRequest, pk: int, act: Callable[[Postmortem], object], done: str) -> HttpResponse:
    try:
        act(workable(request, pk))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, done)
    return redirect("postmortem-detail", pk)


@login_required
@require_POST
def postmortem_facts(request: HttpRequest, pk: int) -> HttpResponse:
    def act(postmortem: Postmortem) -> object:
        return take_in_facts(author=author_of(request), postmortem=postmortem, at=timezone.now())

    return _act(request, pk, act, "Figures, charts and timeline are those of now.")


@login_required
@require_POST
def postmortem_submit(request: HttpRequest, pk: int) -> HttpResponse:
    def act(postmortem: Postmortem) -> object:
        return submit(author=author_of(request), postmortem=postmortem, at=timezone.now())

    return _act(request, pk, act, "It waits for a second person, who signs it off or sends it back.")


@login_required
@require_POST
def postmortem_send_back(request: HttpRequest, pk: int) -> HttpResponse:
    note = text_of(request, "note", 2000)

    def act(postmortem: Postmortem) -> object:
        return send_back(author=author_of(request), postmortem=postmortem, note=note, at=timezone.now())

    return _act(request, pk, act, "It is a draft again; what you ask for stands on top of it.")


@login_required
@require_POST
def postmortem_publish(request: HttpRequest, pk: int) -> HttpResponse:
    def act(postmortem: Postmortem) -> object:
        return publish(author=author_of(request), postmortem=postmortem, at=timezone.now())

    return _act(request, pk, act, "Published. The incident is learned from; its action items go on.")


@login_required
@require_POST
def postmortem_revise(request: HttpRequest, pk: int) -> HttpResponse:
    def act(postmortem: Postmortem) -> object:
        return revise(author=author_of(request), postmortem=postmortem, at=timezone.now())

    return _act(request, pk, act, "It is a draft again. What was published stays readable.")
