"""The form of a planned event: people say percent, the event keeps a factor."""

from decimal import Decimal
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError

from accounts.access import can, teams_where
from accounts.models import Team, User
from budgets.models import PlannedEvent

LONGEST_DAYS = 366


def _date(label: str, help_text: str = "") -> forms.DateField:
    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    return forms.DateField(label=label, help_text=help_text, widget=widget)


class PlannedEventForm(forms.Form):
    """After `is_valid`, `facts` are what `plan_event` and `change_event` take."""

    name = forms.CharField(max_length=100, help_text="E.g. “Launch of the mobile app”")
    percent = forms.DecimalField(
        label="Change in percent",
        min_value=-100,
        max_value=900,
        max_digits=5,
        decimal_places=1,
        help_text="Against the usual use of these days: 40 is 40 % more, -30 is 30 % less",
    )
    starts_on = _date("First day")
    ends_on = _date("Last day", "This day included")
    team = forms.ModelChoiceField(queryset=Team.objects.none(), required=False, help_text="Whose use changes")
    feature = forms.CharField(max_length=100, required=False, help_text="Empty: every feature")
    tenant = forms.CharField(max_length=200, required=False, help_text="Empty: every tenant")
    environment = forms.CharField(max_length=64, required=False, help_text="Empty: every environment")

    def __init__(
        self, data: Any, *, user: User, event: PlannedEvent | None = None, initial: dict[str, Any] | None = None
    ) -> None:
        super().__init__(data, initial=_initial(event) if event else initial)
        everywhere = can(user, "budget.edit")
        field = cast(forms.ModelChoiceField, self.fields["team"])
        field.queryset = teams_where(user, "budget.edit")
        field.required = not everywhere
        field.empty_label = "All teams" if everywhere else "Choose a team"

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        start, end = values.get("starts_on"), values.get("ends_on")
        if start and end and end < start:
            raise ValidationError({"ends_on": "The last day must not be before the first."})
        if start and end and (end - start).days >= LONGEST_DAYS:
            raise ValidationError({"ends_on": "An event lasts a year at most; what lasts longer is the new usual."})
        if values.get("percent") == 0:
            raise ValidationError({"percent": "Without a change there is nothing to plan for."})
        return values

    @property
    def facts(self) -> dict[str, Any]:
        values = dict(self.cleaned_data)
        factor = 1 + values.pop("percent") / Decimal(100)
        return values | {"factor": factor}


def _initial(event: PlannedEvent) -> dict[str, Any]:
    names = ("name", "starts_on", "ends_on", "team", "feature", "tenant", "environment")
    percent = ((event.factor - 1) * 100).normalize()
    return {name: getattr(event, name) for name in names} | {"percent": f"{percent:f}"}
