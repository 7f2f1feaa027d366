"""Forms of the attribution pages."""

from typing import Any

from django import forms

from accounts.access import can, teams_where
from accounts.models import ApiKey, Team, User
from budgets.models import SharedCost
from usage.models import AttributionRule


def _pattern(label: str, help_text: str) -> forms.CharField:
    return forms.CharField(label=label, required=False, max_length=200, help_text=help_text)


class RuleForm(forms.Form):
    """A rule of attribution. After `is_valid`, `rule` is the rule, not saved."""

    team = forms.ChoiceField(required=False, help_text="Whose calls")
    feature = _pattern("Feature as sent", "chat-*, or (none) for calls that name none")
    service = _pattern("Service", "checkout, or shop-*")
    model = _pattern("Model", "gpt-4o*")
    environment = _pattern("Environment", "staging")
    api_key = forms.ModelChoiceField(
        ApiKey.objects.none(),
        label="API key",
        empty_label="Any key",
        required=False,
        help_text="Needs its team; history as events are kept",
    )
    set_feature = forms.CharField(label="Set feature", required=False, max_length=100)
    set_cost_center = forms.CharField(label="Set cost centre", required=False, max_length=100)
    only_untagged = forms.BooleanField(label="Only where nothing was sent", required=False, initial=True)
    position = forms.IntegerField(initial=100, min_value=1, max_value=10_000, help_text="Of several, the lowest wins")
    note = forms.CharField(required=False, max_length=300)

    def __init__(self, data: Any = None, *, user: User, initial: dict | None = None) -> None:
        super().__init__(data, initial=initial or {})
        self.teams = {team.slug: team for team in teams_where(user, "budget.edit")}
        everyone = [("", "Every team")] if can(user, "budget.edit") else []
        choices = everyone + [(slug, team.name) for slug, team in self.teams.items()]
        self.fields["team"] = forms.ChoiceField(choices=choices, required=not everyone, help_text="Whose calls")
        self.fields["api_key"].queryset = ApiKey.objects.filter(team__in=self.teams.values()).select_related("team")  # type: ignore[attr-defined]

    @property
    def team_chosen(self) -> Team | None:
        return self.teams.get(self.cleaned_data["team"])

    @property
    def rule(self) -> AttributionRule:
        return AttributionRule(**self.cleaned_data | {"team": self.team_chosen})

    @property
    def conditions(self) -> list[forms.BoundField]:
        return [self[name] for name in ("team", "feature", "service", "model", "environment", "api_key")]

    @property
    def outcomes(self) -> list[forms.BoundField]:
        return [self[name] for name in ("set_feature", "set_cost_center", "only_untagged", "position", "note")]


class SharedForm(forms.Form):
    """Which group of a dimension is shared, and how it is split."""

    dimension = forms.ChoiceField(choices=SharedCost.Dimension.choices)
    value = forms.CharField(max_length=200)
    method = forms.ChoiceField(choices=SharedCost.Method.choices)
