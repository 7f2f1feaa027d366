"""Form of a rate limit."""

from django import forms

from accounts.access import can, teams_where
from accounts.models import User
from usage.models.scopes import SCOPE_FIELDS

LABELS = {"user_hash": "User", "cost_center": "Cost centre"}


class LimitForm(forms.Form):
    """How much, over which calls. Fields are named as those of RateLimit."""

    name = forms.CharField(max_length=100, help_text="Callers read it when they are turned away")
    requests_per_minute = forms.IntegerField(
        required=False, max_value=10_000_000, label="Requests per minute", help_text="Within any 60 seconds"
    )
    tokens_per_minute = forms.IntegerField(
        required=False,
        max_value=10**12,
        label="Tokens per minute",
        help_text="Input and output, as estimated when a call is reserved",
    )
    concurrency = forms.IntegerField(
        required=False, max_value=10_000_000, label="Calls at once", help_text="Reservations that are open"
    )
    note = forms.CharField(max_length=500, required=False, help_text="Why it is there")

    def __init__(self, *args, user: User, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        team = forms.ModelChoiceField(teams_where(user, "control.set"), required=not can(user, "control.set"))
        team.empty_label = "All teams together" if can(user, "control.set") else "Choose a team"
        self.fields["team"] = team
        for name in SCOPE_FIELDS:
            label = LABELS.get(name, name.title())
            self.fields[name] = forms.CharField(max_length=200, required=False, label=label, help_text="Empty: every")

    @property
    def what_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("name", "requests_per_minute", "tokens_per_minute", "concurrency", "note")]

    @property
    def where_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("team", *SCOPE_FIELDS)]
