"""The form of a change marker."""

from typing import cast

from django import forms
from django.utils import timezone

from accounts.access import can, teams_where
from usage.forms.prices import MomentField
from usage.models import ChangeMarker


class ChangeForm(forms.ModelForm):
    """A change of one team, or of all for those who may in the whole organisation."""

    at = MomentField(label="When", initial=timezone.now)
    url = forms.URLField(label="Link", required=False, max_length=500, assume_scheme="https")

    class Meta:
        model = ChangeMarker
        fields = ["at", "kind", "title", "team", "ref", "environment", "service", "feature", "description", "url"]
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}
        labels = {"ref": "Release, prompt version or flag", "url": "Link", "team": "Team"}
        help_texts = {
            "team": "Whose charts show it.",
            "ref": "",
            "environment": "Empty: every environment",
            "feature": "Empty: every feature",
        }

    def __init__(self, *args, user, **kwargs):
        super().__init__(*args, **kwargs)
        field = cast(forms.ModelChoiceField, self.fields["team"])
        field.queryset = teams_where(user, "change.add")
        field.required = not can(user, "change.add")
        field.empty_label = "All teams" if can(user, "change.add") else "Choose a team"
