"""Forms of the incident pages."""

from datetime import datetime, timedelta
from typing import Any, cast

from django import forms
from django.utils import timezone

from accounts.access import can, teams_where
from accounts.models import Team, User
from incidents.models import FailureMode, Incident
from incidents.queries.slices import NARROWED_BY, Slice, filters_of
from usage.forms.prices import MomentField
from usage.metrics import QueryError
from usage.rules.calendar import is_plausible

AHEAD = timedelta(minutes=5)  # clocks of people differ
JUDGED = timedelta(minutes=15)  # what a declaration is judged by when its beginning is not said
SEVERITIES = [(value, label) for value, label in Incident.Severity.choices]
MODES = [("", "Not known yet"), *FailureMode.choices]
LONGEST_VALUE = 200


def values_of(text: str) -> list[str]:
    """The values of a field that takes several, with commas between them."""
    return list(dict.fromkeys(part.strip() for part in text.replace("\0", "").split(",") if part.strip()))


class IncidentForm(forms.Form):
    """What an incident is: declared with it, and edited with it."""

    title = forms.CharField(
        max_length=200, help_text="What a user of the product sees, in one line: “Answers fail for acme”"
    )
    severity = forms.TypedChoiceField(choices=SEVERITIES, coerce=int, initial=3, widget=forms.RadioSelect)
    team = forms.ModelChoiceField(Team.objects.none())
    impact_started_at = MomentField(label="Since when", initial=timezone.now)
    failure_mode = forms.ChoiceField(choices=MODES, required=False, help_text="Leave it open until triage has shown it")
    summary = forms.CharField(
        max_length=5000, required=False, widget=forms.Textarea(attrs={"rows": 3}), label="What is known"
    )
    is_private = forms.BooleanField(
        required=False,
        label="Private (security): only people with a role in it, security and admins see it",
    )

    def __init__(self, *args, user: User, kept: dict[str, list[str]] | None = None, **kwargs) -> None:
        """`kept`: the scope of the incident so far; what these fields do not show stays as it is."""
        super().__init__(*args, **kwargs)
        self.kept = {name: values for name, values in (kept or {}).items() if name not in NARROWED_BY}
        team = cast(forms.ModelChoiceField, self.fields["team"])
        team.queryset, team.required = teams_where(user, "incident.work"), not can(user, "incident.work")
        team.empty_label = "The whole organisation" if can(user, "incident.work") else "Choose a team"
        for name in NARROWED_BY:
            self.fields[name] = forms.CharField(max_length=1000, required=False, help_text="Empty: all of it")

    def clean_impact_started_at(self) -> datetime:
        at = self.cleaned_data["impact_started_at"]
        if not is_plausible(at) or at > timezone.now() + AHEAD:
            raise forms.ValidationError("It cannot begin in the future: enter when users first felt it.")
        return at

    def clean(self) -> dict[str, Any]:
        for name in NARROWED_BY:
            if any(len(value) > LONGEST_VALUE for value in values_of(self.cleaned_data.get(name, ""))):
                self.add_error(name, f"A value has at most {LONGEST_VALUE} characters; separate values with commas.")
        if not self.errors:
            self._check_scope()
        return self.cleaned_data

    def _check_scope(self) -> None:
        """The figures of the incident are read by this scope, so it must be one that the roll-ups know."""
        now = timezone.now()
        try:
            Slice(None, now - JUDGED, now, filters_of(self.scope)).asked(("requests",))
        except QueryError as error:
            self.add_error("tenant", str(error))

    @property
    def scope(self) -> dict[str, list[str]]:
        """Dimension → values."""
        given = {name: values_of(self.cleaned_data.get(name, "")) for name in NARROWED_BY}
        return self.kept | {name: values for name, values in given.items() if values}

    @property
    def facts(self) -> dict[str, Any]:
        """What declaring and editing take, but for the team."""
        names = ("title", "severity", "impact_started_at", "failure_mode", "summary", "is_private")
        return {name: self.cleaned_data[name] for name in names} | {"scope": self.scope}

    @property
    def what_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("title", "summary", "impact_started_at", "is_private")]

    @property
    def where_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("team", *NARROWED_BY, "failure_mode")]


def initial_of(incident: Incident) -> dict[str, Any]:
    """An incident as the form shows it."""
    names = ("title", "severity", "team", "impact_started_at", "failure_mode", "summary", "is_private")
    shown: dict[str, Any] = {name: getattr(incident, name) for name in names}
    return shown | {name: ", ".join(incident.scope.get(name, [])) for name in NARROWED_BY}
