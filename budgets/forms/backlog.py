"""The form of a backlog item."""

from django import forms

from budgets.forms.reports import TeamForm
from budgets.models import BacklogItem


class ItemForm(TeamForm):
    """A new item; `facts` are what `budgets.backlog` takes."""

    idea = forms.CharField(max_length=200, help_text="What to do, where")
    monthly_saving = forms.DecimalField(
        label="Expected saving", min_value=0, max_digits=18, decimal_places=2, help_text="USD a month"
    )
    effort_weeks = forms.DecimalField(
        label="Effort", min_value=0, max_digits=6, decimal_places=2, help_text="Engineer-weeks, more than 0"
    )
    quality_risk = forms.ChoiceField(choices=BacklogItem.Risk.choices, initial="medium")
    validation_plan = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=2_000,
        help_text="How you show that quality holds",
    )
    owner = forms.CharField(required=False, max_length=100)
    state = forms.ChoiceField(choices=BacklogItem.State.choices, initial="idea")

    def clean_effort_weeks(self):
        weeks = self.cleaned_data["effort_weeks"]
        if weeks is not None and weeks <= 0:
            raise forms.ValidationError("Say more than 0, e.g. 0.5: ROI is the saving by it.")
        return weeks

    @property
    def facts(self) -> dict:
        return {name: value for name, value in self.cleaned_data.items() if name != "team"}


class EditForm(ItemForm):
    """An item keeps its team."""

    def __init__(self, data=None, *, user, initial: dict | None = None) -> None:
        super().__init__(data, user=user)
        self.initial = initial or {}
        del self.fields["team"]
