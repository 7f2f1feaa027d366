"""Who gets the weekly report, and what people have promised."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.access import person_of, require
from accounts.posted import author_of
from budgets.forms.reports import CommitmentForm, RecipientForm, TeamForm
from budgets.models import Commitment, ReportRecipient
from budgets.reports import add_commitment, add_recipient, finish_commitment, remove_recipient
from budgets.views.reports import of_visible


@login_required
@require_POST
def recipient_add(request: HttpRequest) -> HttpResponse:
    form = RecipientForm(request.POST, user=person_of(request), prefix="recipient")
    if _allowed(request, form):
        add_recipient(author=author_of(request), team=form.team_chosen, email=form.cleaned_data["email"])
        messages.success(request, f"{form.cleaned_data['email']} gets the weekly report from next Monday on.")
    return redirect("report-list")


@login_required
@require_POST
def recipient_remove(request: HttpRequest, pk: int) -> HttpResponse:
    recipient = get_object_or_404(of_visible(ReportRecipient.objects.all(), request.user), pk=pk)
    require(request.user, "budget.edit", recipient.team)
    remove_recipient(author=author_of(request), recipient=recipient)
    messages.success(request, f"{recipient.email} gets no further reports.")
    return redirect("report-list")


@login_required
@require_POST
def commitment_add(request: HttpRequest) -> HttpResponse:
    form = CommitmentForm(request.POST, user=person_of(request), prefix="commitment")
    if _allowed(request, form):
        names = ("text", "owner", "due_on")
        facts = {name: form.cleaned_data[name] for name in names}
        add_commitment(author=author_of(request), team=form.team_chosen, **facts)
        messages.success(request, "It stands in the next report.")
    return redirect("report-list")


@login_required
@require_POST
def commitment_done(request: HttpRequest, pk: int) -> HttpResponse:
    commitment = get_object_or_404(of_visible(Commitment.objects.all(), request.user), pk=pk)
    require(request.user, "budget.edit", commitment.team)
    finish_commitment(author=author_of(request), commitment=commitment, now=timezone.now())
    messages.success(request, "Done.")
    return redirect("report-list")


def _allowed(request: HttpRequest, form: TeamForm) -> bool:
    """Whether the form holds; 403 without the right, a message where a field is wrong."""
    if form.is_valid():
        require(request.user, "budget.edit", form.team_chosen)
        return True
    if not form.teams:
        require(request.user, "budget.edit")
    problems = [f"{name.replace('_', ' ')}: {error}" for name, texts in form.errors.items() for error in texts]
    messages.error(request, " ".join(problems))
    return False
