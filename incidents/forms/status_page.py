"""The form of a component of the public status page."""

from typing import Any, cast

from django import forms
from django.utils import timezone

from accounts.access import can, teams_where
from accounts.models import User
from incidents.forms.incidents import JUDGED, values_of
from incidents.models import StatusComponent
from incidents.queries.slices import NARROWED_BY, Slice, filters_of
from usage.metrics import QueryError


class ComponentForm(forms.ModelForm):
    """Name and description are public; team and values say which incidents touch it and stay here."""

    class Meta:
        model = StatusComponent
        fields = ["name", "description", "position", "team"]
        help_texts = {"name": "Public, as users know it", "description": "Public", "team": "Not public"}

    def __init__(self, *args, user: User, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        team = cast(forms.ModelChoiceField, self.fields["team"])
        team.queryset, team.required = teams_where(user, "status.edit"), not can(user, "status.edit")
        team.empty_label = "Every team" if can(user, "status.edit") else "Choose a team"
        for name in NARROWED_BY:
            initial = ", ".join(self.instance.filters.get(name, []))
            self.fields[name] = forms.CharField(
                max_length=1000, required=False, initial=initial, help_text="Not public. Empty: all of it"
            )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        now = timezone.now()
        try:
            Slice(None, now - JUDGED, now, filters_of(self.slice)).asked(("requests",))
        except QueryError as error:
            self.add_error("tenant", str(error))
        return given

    @property
    def slice(self) -> dict[str, list[str]]:
        """Dimension → values."""
        given = {name: values_of(self.cleaned_data.get(name) or "") for name in NARROWED_BY}
        return {name: values for name, values in given.items() if values}
