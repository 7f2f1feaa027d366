"""The form of the owner matrix."""

from typing import Any, cast

from django import forms
from django.db.models import Q

from accounts.access import teams_where
from accounts.models import User
from incidents.models import Responsibility


class ResponsibilityForm(forms.ModelForm):
    """One cell: a duty for a team or one of its features, of a person or of a group named in words."""

    class Meta:
        model = Responsibility
        fields = ["team", "feature", "duty", "user", "name"]
        labels = {"user": "Person", "name": "Or a group"}
        help_texts = {"feature": "Empty: every feature", "name": "Without an account, e.g. Legal"}

    def __init__(self, *args, user: User, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        teams = teams_where(user, "incident.work")
        cast(forms.ModelChoiceField, self.fields["team"]).queryset = teams
        near = Q(memberships__team__in=teams) | Q(memberships__team=None, memberships__isnull=False)
        people = User.objects.filter(near, is_active=True).distinct().order_by("email")
        cast(forms.ModelChoiceField, self.fields["user"]).queryset = people

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if bool(given.get("user")) == bool(given.get("name")):
            self.add_error("user", "Choose a person, or name a group: one of the two.")
        return given
