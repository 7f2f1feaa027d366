"""The form of a provider's limit."""

from typing import cast

from django import forms

from accounts.access import can, teams_where
from usage.models import ProviderLimit
from usage.pricing.aliases import normal


class LimitForm(forms.ModelForm):
    """A limit of one team, or of all for those who may in the whole organisation. Names are kept in lower case."""

    class Meta:
        model = ProviderLimit
        fields = [
            "provider", "model", "region", "environment", "team", "requests_per_minute", "tokens_per_minute", "note",
        ]  # fmt: skip
        help_texts = {
            "provider": "As your events name it.",
            "model": "Empty: all models of the provider share the limit.",
            "region": "Empty: all regions share it.",
            "environment": "Empty: all environments share it.",
            "team": "A team with an account of its own has its own limits.",
            "requests_per_minute": "Model calls in a minute, as the provider's console states it.",
            "tokens_per_minute": "Input and output tokens in a minute.",
            "note": "Where the figures are from. Kept in the audit log.",
        }

    def __init__(self, *args, user, **kwargs):
        super().__init__(*args, **kwargs)
        field = cast(forms.ModelChoiceField, self.fields["team"])
        field.queryset = teams_where(user, "limit.edit")
        field.required = not can(user, "limit.edit")
        field.empty_label = "Choose a team" if field.required else "All teams"

    def clean_provider(self) -> str:
        return normal(self.cleaned_data["provider"])

    def clean_model(self) -> str:
        return normal(self.cleaned_data["model"])

    def clean_region(self) -> str:
        return normal(self.cleaned_data["region"])

    @property
    def place_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("provider", "model", "region", "environment", "team")]

    @property
    def figure_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("requests_per_minute", "tokens_per_minute", "note")]
