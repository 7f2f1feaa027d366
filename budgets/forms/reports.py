"""Forms of the report pages."""

from typing import Any

from django import forms

from accounts.access import can, teams_where
from accounts.models import Team, User


class TeamForm(forms.Form):
    """Chooses a team in which the user may edit budgets, or the organisation where they may there."""

    team = forms.ChoiceField(required=False)

    def __init__(self, data: Any = None, *, user: User, prefix: str | None = None) -> None:
        super().__init__(data, prefix=prefix)
        self.teams = {team.slug: team for team in teams_where(user, "budget.edit")}
        everyone = [("", "Organisation")] if can(user, "budget.edit") else []
        choices = everyone + [(slug, team.name) for slug, team in self.teams.items()]
        self.fields["team"] = forms.ChoiceField(choices=choices, required=not everyone)

    @property
    def team_chosen(self) -> Team | None:
        return self.teams.get(self.cleaned_data["team"])


class RecipientForm(TeamForm):
    email = forms.EmailField(max_length=254)


class CommitmentForm(TeamForm):
    text = forms.CharField(label="What", max_length=300)
    owner = forms.CharField(max_length=100)
    due_on = forms.DateField(label="Due", widget=forms.DateInput(attrs={"type": "date"}))
