"""Forms of the budget pages. The checks are those of `budgets.facts`; a form only asks."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.access import can, teams_where
from accounts.models import User
from budgets.facts import Draft, check
from budgets.models import Budget, Threshold
from budgets.rules.table import percent_fact, percent_text
from usage.forms.prices import MomentField

THRESHOLD_HELP = {
    "notify": "Percent of the budget, several with commas: 70, 85. 60<33 is 60 % before 33 % of the period is over",
    "conserve": "Shorter context, cheaper models, as the policies of the feature say",
    "emergency": "Only what is essential, as the policies of the feature say",
    "block": "Calls are denied from here on until the period ends",
}


def _text(label: str, help_text: str = "", **more) -> forms.CharField:
    return forms.CharField(label=label, help_text=help_text, required=False, **more)


def _numeric() -> forms.TextInput:
    return forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "num"})


class BudgetForm(forms.Form):
    """All facts of a budget. After `is_valid`, `draft` is the checked budget."""

    name = forms.CharField(max_length=100, help_text="What finance calls it, e.g. “Support, monthly”")
    team = forms.ChoiceField(required=False, help_text="Whose calls count")
    feature = _text("Feature", "Empty: every feature")
    tenant = _text("Tenant", "Empty: every tenant")
    environment = _text("Environment", "Empty: every environment")
    user_hash = _text("User", "The user_hash your events send; empty: everybody")
    provider = _text("Provider", "Empty: every provider")
    model = _text("Model", "Empty: every model")
    cost_center = _text("Cost centre", "Empty: every cost centre")
    limit = forms.CharField(widget=_numeric(), help_text="Per period")
    unit = forms.ChoiceField(choices=Budget.Unit.choices, help_text="Requests are model calls")
    period = forms.ChoiceField(choices=Budget.Period.choices)
    time_zone = forms.CharField(max_length=64, help_text="IANA name; periods begin at its midnight")
    anchor = forms.CharField(
        label="Begins on",
        initial="1",
        widget=_numeric(),
        help_text="Weekday 1 to 7 of a week, day 1 to 28 of a month, month 1 to 3 of a quarter; else 1",
    )
    enforcement = forms.ChoiceField(choices=Budget.Enforcement.choices)
    on_failure = forms.ChoiceField(label="While the desk cannot answer", choices=Budget.OnFailure.choices)
    rollover_share = forms.CharField(
        label="Roll over", initial="0", widget=_numeric(), help_text="Share of what is left that is carried on, 0 to 1"
    )
    approval_share = forms.CharField(
        label="Second person above",
        initial="0.2",
        widget=_numeric(),
        help_text="Increases by more than this share of the limit need approval; 0.2 is 20 %",
    )
    owner = forms.EmailField(required=False, help_text="Who answers for it; alerts go there")
    note = _text("Note", widget=forms.Textarea(attrs={"rows": 2}))
    notify = _text("Notify at", THRESHOLD_HELP["notify"], widget=_numeric())
    conserve = _text("Conserve mode at", THRESHOLD_HELP["conserve"], widget=_numeric())
    emergency = _text("Emergency mode at", THRESHOLD_HELP["emergency"], widget=_numeric())
    block = _text("Block at", THRESHOLD_HELP["block"], widget=_numeric())

    def __init__(self, data: Any = None, *, user: User, facts: dict[str, Any], extra: dict | None = None) -> None:
        """`facts`: what the form begins with; `extra`: initial values of fields that are no facts."""
        super().__init__(data, initial=spread(facts) | (extra or {}))
        self.teams = list(teams_where(user, "budget.edit"))
        everyone = [("", "The whole organisation")] if can(user, "budget.edit") else []
        choices = everyone + [(team.slug, team.name) for team in self.teams]
        self.fields["team"] = forms.ChoiceField(choices=choices, required=not everyone, help_text="Whose calls count")
        self.draft: Draft | None = None

    def clean(self) -> dict[str, Any]:
        super().clean()
        if not self.errors:
            try:
                self.draft = check(gathered(self.cleaned_data), teams=self.teams)
            except ValidationError as error:
                for name, texts in error.message_dict.items():
                    self.add_error(name if name in self.fields else "notify", texts)
        return self.cleaned_data

    @property
    def slice_fields(self) -> list[forms.BoundField]:
        names = ("team", "feature", "tenant", "environment", "user_hash", "provider", "model", "cost_center")
        return [self[name] for name in names]

    @property
    def limit_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("name", "limit", "unit", "period", "anchor", "time_zone", "enforcement")]

    @property
    def threshold_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in Threshold.Action.values]

    @property
    def rule_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("rollover_share", "approval_share", "on_failure", "owner", "note")]


class BudgetEditForm(BudgetForm):
    """An edit also says why, and which version it was made from."""

    reason = forms.CharField(max_length=500, help_text="The history shows it")
    base_version = forms.IntegerField(widget=forms.HiddenInput)


def spread(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts as the form's fields: thresholds by action."""
    shown = {name: value for name, value in facts.items() if name != "thresholds"}
    for action in Threshold.Action.values:
        percents = [percent_text(row) for row in facts["thresholds"] if row["action"] == action]
        shown[action] = ", ".join(percents)
    return shown


def gathered(cleaned: dict[str, Any]) -> dict[str, Any]:
    """The form's fields as facts."""
    facts = {name: value for name, value in cleaned.items() if name not in (*Threshold.Action.values, *EDIT_ONLY)}
    facts["thresholds"] = [
        percent_fact(percent) | {"action": action}
        for action in Threshold.Action.values
        for percent in cleaned[action].split(",")
        if percent.strip()
    ]
    return facts


EDIT_ONLY = ("reason", "base_version")


class GrantForm(forms.Form):
    """A one-off addition."""

    amount = forms.DecimalField(min_value=0, max_digits=27, decimal_places=12, widget=_numeric())
    expires_at = MomentField(label="Usable until")
    reason = forms.CharField(max_length=500)


class ReasonForm(forms.Form):
    """A step that only needs a reason, made on the version that was seen."""

    reason = forms.CharField(max_length=500)
    base_version = forms.IntegerField(widget=forms.HiddenInput)


class DecisionForm(forms.Form):
    """Approve or refuse a waiting change."""

    decision = forms.ChoiceField(choices=[("approve", "Approve"), ("refuse", "Refuse")])
    note = forms.CharField(max_length=500, required=False)
