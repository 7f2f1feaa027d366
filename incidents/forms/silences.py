"""The form of silences and maintenance windows. Minutes and lines of text here, moments and values in the model."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from accounts.access import can, teams_where
from accounts.models import User
from incidents.forms.lines import lines_to_values
from incidents.models import AlertRule

LASTS = [("30", "30 minutes"), ("60", "1 hour"), ("240", "4 hours"), ("1440", "1 day"), ("10080", "1 week")]


class SilenceForm(forms.Form):
    """What is muted, from when to when, and why."""

    is_maintenance = forms.BooleanField(required=False, label="Maintenance window, planned ahead")
    starts_at = forms.DateTimeField(
        required=False,
        label="From",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text="Empty: now",
    )
    lasts = forms.ChoiceField(choices=LASTS, initial="60", label="For")
    labels = forms.CharField(
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2, "class": "mono", "placeholder": "environment = staging"}),
        help_text="Only alerts with these labels: a line for each",
    )
    reason = forms.CharField(max_length=500, help_text="Who reads it at night should understand it")

    def __init__(self, *args, user: User, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        everyone = can(user, "alert.acknowledge")
        teams = teams_where(user, "alert.acknowledge")
        self.fields["team"] = forms.ModelChoiceField(teams, required=not everyone)
        self.fields["team"].empty_label = "All teams" if everyone else "Choose a team"  # type: ignore[attr-defined]
        rules = AlertRule.objects.filter(team=None) | AlertRule.objects.filter(team__in=teams)
        self.fields["rule"] = forms.ModelChoiceField(rules.order_by("name"), required=False, empty_label="Every rule")
        self.order_fields(["team", "rule", "labels", "is_maintenance", "starts_at", "lasts", "reason"])

    def clean_labels(self) -> dict[str, str]:
        found = lines_to_values(self.cleaned_data["labels"])
        if many := [name for name, values in found.items() if len(values) > 1]:
            raise forms.ValidationError(f"{many[0]} has several values: make a silence for each.")
        return {name: values[0] for name, values in found.items()}

    @property
    def values(self) -> dict[str, Any]:
        data = self.cleaned_data
        start: datetime = data["starts_at"] or timezone.now()
        names = ("team", "rule", "labels", "is_maintenance", "reason")
        return {name: data[name] for name in names} | {
            "starts_at": start,
            "ends_at": start + timedelta(minutes=int(data["lasts"])),
        }
