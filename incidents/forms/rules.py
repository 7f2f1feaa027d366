"""The forms of alert rules and silences. Minutes and lines of text here, seconds and values in the models."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone

from accounts.access import can, teams_where
from accounts.models import Membership, User
from incidents.models import Alert, AlertRule, RunbookSection
from usage.metrics import CATALOGUE

NEW_KINDS = [
    ("threshold", "Threshold"),
    ("baseline", "Ratio to the same hours of earlier weeks"),
    ("no_data", "No data"),
]
METRICS = sorted(((name, f"{one.label} ({one.unit})") for name, one in CATALOGUE.items()), key=lambda pair: pair[1])
NO_DATA = [("ok", "is well"), ("hold", "changes nothing"), ("fire", "fires")]
DECLARES = [("", "None"), ("1", "SEV1"), ("2", "SEV2"), ("3", "SEV3"), ("4", "SEV4")]
FIGURE: dict[str, Any] = {"max_digits": 24, "decimal_places": 9}
# Fields of the model that the form shows as they are.
SAME = (
    *("name", "kind", "metric", "breakdown", "comparison", "min_events", "baseline_weeks"),
    *("severity", "route", "first_mitigation"),
)
OPTIONS = ("sure", "times_usual", "floor", "declare", "no_data")


class RuleForm(forms.Form):
    """Every field of a rule; which of them count is said by its kind."""

    name = forms.CharField(max_length=150, help_text="What is wrong when it fires")
    kind = forms.ChoiceField(choices=NEW_KINDS)
    metric = forms.ChoiceField(choices=[("", "–"), *METRICS], required=False, help_text="From the metrics catalogue")
    filters = forms.CharField(
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2, "class": "mono", "placeholder": "provider = openai, azure"}),
        help_text="Only these: a line for each dimension",
    )
    breakdown = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"class": "mono", "placeholder": "environment, provider"}),
        help_text="Dimensions, with commas: one alert for each combination of their values",
    )
    window_minutes = forms.IntegerField(min_value=1, max_value=10_080, initial=5, label="Window", help_text="Minutes")
    comparison = forms.ChoiceField(choices=AlertRule.Comparison.choices, label="Fires when it is")
    threshold = forms.DecimalField(
        **FIGURE, required=False, help_text="Shares as 0.05 for 5 %, latency in ms, cost in USD, a ratio as 2 for twice"
    )
    clear_threshold = forms.DecimalField(
        **FIGURE, required=False, label="Well again at", help_text="Empty: at the threshold. Further off, it flaps less"
    )
    for_minutes = forms.DecimalField(
        min_value=0, max_value=1440, decimal_places=1, initial=0, label="For", help_text="Minutes it must hold"
    )
    clear_minutes = forms.DecimalField(
        min_value=0, max_value=1440, decimal_places=1, initial=5, label="Well for", help_text="Minutes until it is over"
    )
    min_events = forms.IntegerField(
        min_value=0, max_value=10_000_000, initial=20, label="Least events", help_text="Fewer in the window: not judged"
    )
    sure = forms.IntegerField(
        min_value=1,
        max_value=100,
        required=False,
        label="Healthy share",
        help_text="Of shares: how many times below the threshold a healthy one is. Then chance alone fires nothing",
    )
    times_usual = forms.DecimalField(
        min_value=Decimal(1),
        max_value=1000,
        decimal_places=2,
        required=False,
        label="At least × usual",
        help_text="The threshold is at least so many times the same hours of earlier weeks",
    )
    baseline_weeks = forms.IntegerField(min_value=1, max_value=8, initial=4, label="Weeks compared")
    floor = forms.DecimalField(
        min_value=0,
        **FIGURE,
        required=False,
        help_text="Of ratios: what is usual counts as at least this much, in the metric's unit",
    )
    no_data = forms.ChoiceField(choices=NO_DATA, required=False, label="Without data it")
    severity = forms.ChoiceField(choices=Alert.Severity.choices, initial="warning")
    route = forms.ChoiceField(choices=Alert.Route.choices, initial="ticket", label="Tells by")
    declare = forms.ChoiceField(choices=DECLARES, required=False, label="Declares an incident")
    first_mitigation = forms.CharField(max_length=300, help_text="What whoever is woken does first")
    note = forms.CharField(max_length=500, required=False, help_text="Why it is changed, for the history")
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args, user: User, rule: AlertRule | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        everyone = can(user, "rule.edit")
        teams = forms.ModelChoiceField(teams_where(user, "rule.edit"), required=not everyone, help_text="Whose traffic")
        teams.empty_label = "All teams" if everyone else "Choose a team"
        self.fields["team"] = teams
        people = User.objects.filter(pk__in=Membership.objects.values("user"), is_active=True).order_by("email")
        self.fields["owner"] = forms.ModelChoiceField(people, required=False, empty_label="Nobody yet")
        sections = RunbookSection.objects.select_related("runbook").order_by("runbook__title", "pk")
        self.fields["runbook_section"] = forms.ModelChoiceField(
            sections, empty_label="Choose the section to follow", help_text="Opened by whoever answers"
        )
        parents = AlertRule.objects.filter(is_active=True, team=rule.team if rule else None)
        self.fields["parent"] = forms.ModelChoiceField(
            parents.exclude(pk=rule.pk or 0) if rule else parents,
            required=False,
            empty_label="None",
            help_text="While it fires, this one is muted",
        )
        if rule and rule.pk and rule.kind not in dict(NEW_KINDS):
            self._keep_kind(rule)

    def _keep_kind(self, rule: AlertRule) -> None:
        """A kind that is not made here stays what it is, with the metric it has."""
        self.fields["kind"] = forms.ChoiceField(choices=[(rule.kind, rule.get_kind_display())])
        self.fields["metric"] = forms.ChoiceField(choices=[(rule.metric, rule.metric or "–")], required=False)

    def clean_breakdown(self) -> list[str]:
        return list(dict.fromkeys(filter(None, (name.strip() for name in self.cleaned_data["breakdown"].split(",")))))

    def clean_filters(self) -> dict[str, list[str]]:
        return lines_to_values(self.cleaned_data["filters"])

    @property
    def values(self) -> dict[str, Any]:
        """What `save_rule` takes, but for the options that the form does not show."""
        data = self.cleaned_data
        return {name: data[name] for name in (*SAME, "filters", "threshold", "clear_threshold")} | {
            "window_seconds": data["window_minutes"] * 60,
            "for_seconds": int(data["for_minutes"] * 60),
            "clear_seconds": int(data["clear_minutes"] * 60),
            "team": data["team"],
            "owner": data["owner"],
            "parent": data["parent"],
            "runbook_section": data["runbook_section"],
        }

    @property
    def options(self) -> dict[str, Any]:
        """The options the form shows, those that are set."""
        found = {name: self.cleaned_data.get(name) for name in OPTIONS}
        plain = {name: str(value) if isinstance(value, Decimal) else value for name, value in found.items() if value}
        if "declare" in plain:
            plain["declare"] = int(plain["declare"])
        return {name: value for name, value in plain.items() if (name, value) != ("no_data", "ok")}

    def _fields(self, *names: str) -> list[forms.BoundField]:
        return [self[name] for name in names]

    @property
    def what_fields(self) -> list[forms.BoundField]:
        return self._fields("name", "kind", "metric", "team", "filters", "breakdown")

    @property
    def when_fields(self) -> list[forms.BoundField]:
        names = ("comparison", "threshold", "clear_threshold", "window_minutes", "for_minutes", "clear_minutes")
        return self._fields(*names, "min_events", "no_data")

    @property
    def chance_fields(self) -> list[forms.BoundField]:
        return self._fields("sure", "times_usual", "floor", "baseline_weeks")

    @property
    def then_fields(self) -> list[forms.BoundField]:
        names = ("severity", "route", "runbook_section", "first_mitigation", "owner", "declare", "parent", "note")
        return self._fields(*names)


def lines_to_values(text: str) -> dict[str, list[str]]:
    """ "provider = openai, azure" by line → dimension: values. Raises ValidationError naming the bad line."""
    found: dict[str, list[str]] = {}
    for line in filter(str.strip, text.splitlines()):
        name, separator, values = line.partition("=")
        chosen = [value.strip() for value in values.split(",") if value.strip()]
        if not separator or not name.strip() or not chosen:
            raise forms.ValidationError(f"“{line[:60]}” should read: dimension = value, value.")
        found[name.strip()] = sorted({*found.get(name.strip(), []), *chosen})
    return found


def as_initial(rule: AlertRule) -> dict[str, Any]:
    """A rule as the form's fields."""
    same = (*SAME, "team", "owner", "parent", "runbook_section", "version")
    figures = {name: getattr(rule, name) for name in ("threshold", "clear_threshold")}
    return (
        {name: getattr(rule, name) for name in same}
        | {name: None if value is None else f"{value.normalize():f}" for name, value in figures.items()}
        | {name: rule.options.get(name) for name in OPTIONS}
        | {
            "breakdown": ", ".join(rule.breakdown),
            "filters": "\n".join(f"{name} = {', '.join(values)}" for name, values in rule.filters.items()),
            "window_minutes": rule.window_seconds // 60,
            "for_minutes": Decimal(rule.for_seconds) / 60,
            "clear_minutes": Decimal(rule.clear_seconds) / 60,
        }
    )


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
