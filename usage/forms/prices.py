"""Forms of the price pages. Times are in the viewer's zone."""

from datetime import datetime
from typing import Any, cast

from django import forms
from django.utils import timezone

from accounts.access import can, teams_where
from accounts.models import Team
from usage.pricing.actions import RATES, Rates
from usage.rules.calendar import is_plausible

RATE_LABELS = {
    "input_mtok": ("Input", "USD per 1M tokens"),
    "cached_input_mtok": ("Cached input", "USD per 1M tokens. Empty: as input."),
    "cache_write_mtok": ("Cache write", "USD per 1M tokens. Empty: as input."),
    "output_mtok": ("Output", "USD per 1M tokens"),
    "reasoning_mtok": ("Reasoning", "USD per 1M tokens. Empty: as output."),
    "request_usd": ("Per call", "USD for each call, on top of its tokens"),
}
TIERS = [("", "Any"), ("batch", "Batch"), ("flex", "Flex"), ("priority", "Priority"), ("fast", "Fast")]


def _plausible(moment: datetime) -> None:
    if not is_plausible(moment):
        raise forms.ValidationError("The year must be from 2000 to 2200.")


class MomentField(forms.DateTimeField):
    """A date and time to the minute, drawn by the browser's own picker."""

    def __init__(self, **kwargs):
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
        super().__init__(widget=widget, validators=[_plausible], **kwargs)


def _rate_field(name: str) -> forms.DecimalField:
    label, help_text = RATE_LABELS[name]
    return forms.DecimalField(
        label=label,
        help_text=help_text,
        required=False,
        min_value=0,
        max_digits=18,
        decimal_places=9,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "num"}),
    )


class RatesForm(forms.Form):
    """The six rates; a subclass says whose and from when."""

    input_mtok = _rate_field("input_mtok")
    output_mtok = _rate_field("output_mtok")
    cached_input_mtok = _rate_field("cached_input_mtok")
    cache_write_mtok = _rate_field("cache_write_mtok")
    reasoning_mtok = _rate_field("reasoning_mtok")
    request_usd = _rate_field("request_usd")

    def clean(self) -> dict[str, Any]:
        super().clean()
        found = self.cleaned_data
        if not self.errors and all(found.get(name) is None for name in ("input_mtok", "output_mtok", "request_usd")):
            self.add_error("input_mtok", "Give at least one of input, output and per call.")
        return found

    @property
    def rates(self) -> Rates:
        return Rates(**{name: self.cleaned_data[name] for name in RATES})

    @property
    def rate_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("input_mtok", "output_mtok", *RATES[1:3], "reasoning_mtok", "request_usd")]


class PriceForm(RatesForm):
    """Add a price. Offers only the teams whose prices the user may edit."""

    team = forms.ModelChoiceField(
        Team.objects.none(),
        required=False,
        empty_label="All teams",
        help_text="A team's own price wins over all teams'.",
    )
    provider = forms.CharField(
        max_length=100, required=False, help_text="As your events name it. Leave empty for events that name none."
    )
    model = forms.CharField(max_length=200, help_text="The exact name your events send.")
    region = forms.CharField(max_length=100, required=False, help_text="Only for calls in this region.")
    tier = forms.ChoiceField(choices=TIERS, required=False, label="Service tier")
    valid_from = MomentField(
        label="Holds from", help_text="For calls from this moment on. If it is past, you can re-price them next."
    )
    valid_to = MomentField(label="Holds until", required=False, help_text="Leave empty for no end.")
    note = forms.CharField(max_length=300, required=False, help_text="Why, or which contract. Kept in the audit log.")

    def __init__(self, *args, user, **kwargs):
        super().__init__(*args, **kwargs)
        field = cast(forms.ModelChoiceField, self.fields["team"])
        field.queryset = teams_where(user, "price.edit")
        if not can(user, "price.edit"):
            field.required, field.empty_label = True, None

    @property
    def place_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("team", "provider", "model", "region", "tier")]

    @property
    def date_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("valid_from", "valid_to", "note")]


class PriceEditForm(RatesForm):
    """New rates from a moment on."""

    effective_from = MomentField(
        label="New rates hold from", help_text="At or before the price's own start: it is corrected from its start."
    )
    note = forms.CharField(max_length=300, required=False, help_text="Why. Kept in the audit log.")

    @property
    def date_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("effective_from", "note")]


class PriceEndForm(forms.Form):
    """When a price stops to hold."""

    at = MomentField(label="Holds until", help_text="From then on the next price in order holds, or the catalogue's.")


class RepricingForm(forms.Form):
    """Which calls to price again."""

    team = forms.ModelChoiceField(Team.objects.none(), required=False, empty_label="All teams")
    provider = forms.CharField(max_length=100, required=False)
    model = forms.CharField(max_length=200)
    start = MomentField(label="Calls from")
    end = MomentField(label="Until", required=False, help_text="Leave empty for now.")

    def __init__(self, *args, user, **kwargs):
        super().__init__(*args, **kwargs)
        field = cast(forms.ModelChoiceField, self.fields["team"])
        field.queryset = teams_where(user, "reprice.run")
        if not can(user, "reprice.run"):
            field.required, field.empty_label = True, None

    def clean(self) -> dict[str, Any]:
        super().clean()
        found = self.cleaned_data
        start, end = found.get("start"), found.get("end")
        if start and start >= (end or timezone.now()):
            self.add_error("start", "It must lie before the end, and not in the future.")
        return found
