"""Forms of the control and policy pages."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from accounts.access import can, teams_where
from accounts.models import Team, User
from incidents.controls import OWN_FIELDS, What, Where
from incidents.models import Control
from incidents.models.controls import Mode

# Set in a hurry, ended by itself: an hour is the default, "until ended" has to be chosen.
DURATIONS = [("15", "15 minutes"), ("60", "1 hour"), ("240", "4 hours"), ("1440", "1 day"), ("", "until it is ended")]
SLICE = ("feature", "tenant", "environment", "provider", "model", "user_hash", "cost_center")
# What each kind asks for; the page shows only these.
KIND_FIELDS = OWN_FIELDS | {"kill_switch": ("tool_name",)}
SLICE_LABELS = {"user_hash": "User", "cost_center": "Cost centre"}


def _team_field(user: User) -> forms.ModelChoiceField:
    field = forms.ModelChoiceField(teams_where(user, "control.set"), required=not can(user, "control.set"))
    field.empty_label = "All teams" if can(user, "control.set") else "Choose a team"
    return field


class LastsForm(forms.Form):
    """For how long from now."""

    lasts = forms.ChoiceField(choices=DURATIONS, required=False, label="For", initial="60")

    @property
    def expires_at(self) -> datetime | None:
        minutes = self.cleaned_data["lasts"]
        return timezone.now() + timedelta(minutes=int(minutes)) if minutes else None


class ControlForm(LastsForm):
    """What, over which calls, for how long, why."""

    kind = forms.ChoiceField(choices=Control.Kind.choices, widget=forms.HiddenInput)
    mode = forms.ChoiceField(
        choices=[("", "–"), *Mode.choices], required=False, help_text="What it means is in the policies"
    )
    tool_name = forms.CharField(
        max_length=200, required=False, label="Tool", help_text="Empty: the calls of the slice themselves are stopped"
    )
    failover_order = forms.CharField(
        max_length=500,
        required=False,
        label="Providers",
        help_text="In the order to try: azure, anthropic/claude-sonnet-4-5",
    )
    queue_class = forms.ChoiceField(
        choices=[("", "–"), ("realtime", "realtime"), ("batch", "batch"), ("backfill", "backfill")],
        required=False,
    )
    requests_per_minute = forms.IntegerField(
        min_value=0, max_value=10_000_000, required=False, help_text="Within any 60 seconds; a throttle of 0 stops them"
    )
    tokens_per_minute = forms.IntegerField(
        min_value=1, max_value=10**12, required=False, help_text="Input and output, as estimated; empty: no limit"
    )
    concurrency = forms.IntegerField(
        min_value=1, max_value=10_000_000, required=False, label="Calls at once", help_text="Empty: no limit"
    )
    reason = forms.CharField(max_length=500, help_text="Who reads the history should understand it")

    def __init__(self, *args, user: User, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"] = _team_field(user)
        for name in SLICE:
            label = SLICE_LABELS.get(name, name.title())
            self.fields[name] = forms.CharField(max_length=200, required=False, label=label, help_text="Empty: every")

    def clean_failover_order(self) -> list[str]:
        return [name.strip() for name in self.cleaned_data["failover_order"].split(",") if name.strip()]

    @property
    def what(self) -> What:
        names = ("kind", "mode", "tool_name", "queue_class", *KIND_FIELDS["rate_limit"], "failover_order")
        return What(**{name: self.cleaned_data[name] for name in names})

    @property
    def where(self) -> Where:
        return Where(team=self.cleaned_data["team"], **{name: self.cleaned_data[name].strip() for name in SLICE})

    @property
    def what_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in KIND_FIELDS.get(str(self["kind"].value()), ())]

    @property
    def where_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("team", *SLICE)]

    @property
    def why_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("lasts", "reason")]


class PolicyForm(forms.Form):
    """What a mode means for a feature."""

    feature = forms.CharField(max_length=100, required=False, help_text="Empty: every feature without its own")
    mode = forms.ChoiceField(choices=[("conserve", "Conserve"), ("emergency", "Emergency")])
    max_output_tokens = forms.IntegerField(required=False, min_value=1, help_text="Cap on output tokens")
    max_context_tokens = forms.IntegerField(required=False, min_value=1, help_text="Cap on input tokens")
    top_k = forms.IntegerField(required=False, min_value=1, label="top_k", help_text="Documents to retrieve")
    model_map = forms.CharField(
        required=False,
        label="Models",
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "placeholder": "gpt-4o = gpt-4o-mini"}),
        help_text="A line per model: asked = used. * stands for any",
    )
    tools_off = forms.CharField(max_length=1000, required=False, help_text="Tools taken away, with commas; * is every")

    def __init__(self, *args, user: User, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"] = _team_field(user)
        self.order_fields(["team", "feature", "mode"])

    def clean_model_map(self) -> dict[str, str]:
        lines = [line for line in self.cleaned_data["model_map"].splitlines() if line.strip()]
        pairs = [tuple(part.strip() for part in line.split("=")) for line in lines]
        if bad := [line for line, pair in zip(lines, pairs, strict=True) if len(pair) != 2 or not all(pair)]:
            raise forms.ValidationError(f"“{bad[0]}” should read: model asked for = model to use.")
        return dict(pairs)

    def clean_tools_off(self) -> list[str]:
        return [name.strip() for name in self.cleaned_data["tools_off"].split(",") if name.strip()]

    @property
    def values(self) -> dict[str, Any]:
        names = ("max_output_tokens", "max_context_tokens", "top_k", "model_map", "tools_off")
        return {name: self.cleaned_data[name] for name in names}

    @property
    def chosen_team(self) -> Team | None:
        return self.cleaned_data["team"]
