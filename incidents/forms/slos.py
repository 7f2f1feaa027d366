"""The form of an SLO. Percent and lines of text here, shares and values in the model."""

from decimal import Decimal
from typing import Any

from django import forms

from accounts.access import can, teams_where
from accounts.models import Membership, User
from incidents.models import Slo

WINDOWS = [(7, "7 days"), (14, "14 days"), (28, "28 days"), (30, "30 days"), (90, "90 days")]
SLICE = ("feature", "tenant", "environment", "provider", "model", "cost_center")
LABELS = {"cost_center": "Cost centre"}


class SloForm(forms.Form):
    """What is good, how much of it is promised, of which requests, to whom it is said."""

    name = forms.CharField(max_length=100, help_text="A promise in words, e.g. “Answers within 2 s”")
    indicator = forms.ChoiceField(choices=Slo.Indicator.choices, label="What is counted")
    target = forms.DecimalField(
        min_value=Decimal("0.0001"),
        max_value=Decimal("99.9999"),
        decimal_places=4,
        initial="99",
        help_text="Percent that must be good. The rest is the error budget",
    )
    window_days = forms.TypedChoiceField(choices=WINDOWS, coerce=int, initial=30, label="Window", help_text="Rolling")
    limit = forms.DecimalField(
        min_value=Decimal("0.000001"),
        max_value=Decimal("99999999"),
        decimal_places=6,
        required=False,
        help_text="Latency: ms a good answer takes at most. Spend: USD",
    )
    per = forms.ChoiceField(
        choices=[("", "–"), *Slo.Per.choices], required=False, label="Limit per", help_text="Of a spend"
    )
    checks = forms.MultipleChoiceField(
        choices=Slo.Check.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Of quality: which checks count. None chosen: all",
    )
    exclusions = forms.CharField(
        required=False,
        max_length=2000,
        label="Left out",
        initial="environment = drill",
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "placeholder": "error_type = content_policy"}),
        help_text="What does not count, a line for each dimension: environment = drill, dev",
    )
    min_events = forms.IntegerField(
        min_value=1,
        max_value=1_000_000,
        initial=100,
        label="Least requests",
        help_text="A burn rate rule judges a long window only from so many on: one failure in ten is chance",
    )
    note = forms.CharField(required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args, user: User, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        everyone = can(user, "rule.edit")
        teams = forms.ModelChoiceField(
            teams_where(user, "rule.edit"), required=not everyone, help_text="Whose requests"
        )
        teams.empty_label = "All teams" if everyone else "Choose a team"
        self.fields["team"] = teams
        for name in SLICE:
            label = LABELS.get(name, name.title())
            self.fields[name] = forms.CharField(max_length=200, required=False, label=label, help_text="Empty: every")
        people = User.objects.filter(pk__in=Membership.objects.values("user"), is_active=True).order_by("email")
        self.fields["owner"] = forms.ModelChoiceField(people, required=False, empty_label="Nobody yet")

    def clean_target(self) -> Decimal:
        return self.cleaned_data["target"] / 100

    def clean_exclusions(self) -> dict[str, list[str]]:
        lines = [line for line in self.cleaned_data["exclusions"].splitlines() if line.strip()]
        found: dict[str, list[str]] = {}
        for line in lines:
            name, separator, values = line.partition("=")
            chosen = [value.strip() for value in values.split(",") if value.strip()]
            if not separator or not name.strip() or not chosen:
                raise forms.ValidationError(f"“{line[:60]}” should read: dimension = value, value.")
            found[name.strip()] = sorted({*found.get(name.strip(), []), *chosen})
        return found

    @property
    def values(self) -> dict[str, Any]:
        """What `save_slo` takes; the figure that an indicator does not need is left out."""
        values = {name: value for name, value in self.cleaned_data.items() if name != "version"}
        needs = {"latency": ("limit",), "spend": ("limit", "per"), "quality": ("checks",)}
        unused: dict[str, Any] = {"limit": None, "per": "", "checks": []}
        for name in needs.get(values["indicator"], ()):
            unused.pop(name)
        return values | unused

    @property
    def promise_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("name", "indicator", "target", "window_days", "limit", "per", "checks")]

    @property
    def slice_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("team", *SLICE)]

    @property
    def rest_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("exclusions", "min_events", "owner", "note")]


def as_initial(slo: Slo) -> dict[str, Any]:
    """An SLO as the form's fields."""
    names = ("name", "indicator", "window_days", "per", "checks", "min_events", "note", "owner", "team", "version")
    lines = "\n".join(f"{name} = {', '.join(values)}" for name, values in slo.exclusions.items())
    limit = None if slo.limit is None else f"{slo.limit.normalize():f}"
    target = f"{(slo.target * 100).normalize():f}"
    return {name: getattr(slo, name) for name in (*names, *SLICE)} | {
        "exclusions": lines,
        "limit": limit,
        "target": target,
    }
