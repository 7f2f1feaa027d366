"""Forms of the settings pages. The database refuses bad data; these say it kindly first."""

import zoneinfo
from datetime import datetime, time, timedelta
from typing import cast

from django import forms
from django.utils import timezone

from accounts.models import Membership, Role, Scope, Team, User
from accounts.queries import AuditFilter
from accounts.rules import ROLE_HELP

ROLE_CHOICES = [(role.value, f"{role.label}: {ROLE_HELP[role]}") for role in Role]


class ProfileForm(forms.ModelForm):
    """What a person may change about themselves."""

    time_zone = forms.CharField(
        label="Time zone",
        max_length=64,
        help_text="All times are shown in it. Start typing a city: Berlin, New_York, Tokyo.",
        widget=forms.TextInput(attrs={"list": "time-zones", "autocomplete": "off"}),
    )

    class Meta:
        model = User
        fields = ["first_name", "last_name", "time_zone", "theme"]
        widgets = {
            "first_name": forms.TextInput(attrs={"autocomplete": "given-name"}),
            "last_name": forms.TextInput(attrs={"autocomplete": "family-name"}),
        }

    def clean_time_zone(self):
        name = self.cleaned_data["time_zone"].strip()
        if name not in zoneinfo.available_timezones():
            raise forms.ValidationError("This is no IANA time zone. Examples: Europe/Berlin, America/New_York, UTC.")
        return name


class TeamForm(forms.ModelForm):
    """Create a team."""

    class Meta:
        model = Team
        fields = ["name", "slug", "cost_center"]
        labels = {"slug": "Short name", "cost_center": "Cost centre"}
        help_texts = {
            "slug": "Used in addresses and in the API, and cannot be changed: lower-case letters, digits, hyphens.",
            "cost_center": "Spend can be grouped by it.",
        }
        error_messages = {"slug": {"unique": "There is a team with this short name already."}}

    def clean_slug(self):
        slug = self.cleaned_data["slug"]
        if slug != slug.lower() or not slug[0].isalnum():
            raise forms.ValidationError("Use lower-case letters, digits and hyphens, and begin with a letter or digit.")
        return slug


class TeamEditForm(forms.ModelForm):
    """Edit a team. The slug is in other people's links, so it stays."""

    class Meta:
        model = Team
        fields = ["name", "cost_center"]
        labels = {"cost_center": "Cost centre"}


class MemberForm(forms.Form):
    """Give a person a role."""

    email = forms.EmailField(
        label="E-mail address",
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        help_text="Someone without an account gets one, with a password for you to hand over.",
    )
    role = forms.ChoiceField(choices=ROLE_CHOICES, initial=Role.VIEWER)


class RoleForm(forms.ModelForm):
    """Change the role of a membership."""

    class Meta:
        model = Membership
        fields = ["role"]


class ApiKeyForm(forms.Form):
    """Make an API key."""

    name = forms.CharField(max_length=100, help_text="Where it will be used, e.g. “checkout service, production”.")
    scopes = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple,
        initial=[Scope.INGEST],
        help_text="Give as few as the caller needs.",
    )
    environment = forms.CharField(
        max_length=64,
        required=False,
        help_text="E.g. prod. Events sent with this key get this environment; empty: each event says it.",
    )

    def __init__(self, *args, scopes, **kwargs):
        """`scopes`: the values this person may give."""
        super().__init__(*args, **kwargs)
        cast(forms.MultipleChoiceField, self.fields["scopes"]).choices = [
            choice for choice in Scope.choices if choice[0] in scopes
        ]


class AuditFilterForm(forms.Form):
    """The audit page's filters, a GET form. Days are days of the reader's time zone."""

    team = forms.ModelChoiceField(Team.objects.none(), to_field_name="slug", required=False, empty_label="Any team")
    action = forms.ChoiceField(required=False)
    actor = forms.CharField(required=False, max_length=200, label="Who")
    start = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}))
    end = forms.DateField(required=False, label="To", widget=forms.DateInput(attrs={"type": "date"}))
    before = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput)

    def __init__(self, *args, teams, actions, **kwargs):
        super().__init__(*args, **kwargs)
        cast(forms.ModelChoiceField, self.fields["team"]).queryset = teams
        cast(forms.ChoiceField, self.fields["action"]).choices = [
            ("", "Any action"),
            *((name, name) for name in actions),
        ]

    def wanted(self) -> AuditFilter:
        """The filter of a valid form; `to` includes its whole day."""
        given = self.cleaned_data
        end = given["end"]
        return AuditFilter(
            team=given["team"],
            action=given["action"],
            actor=given["actor"],
            start=_midnight(given["start"]) if given["start"] else None,
            end=_midnight(end + timedelta(days=1)) if end else None,
        )


def _midnight(day) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
