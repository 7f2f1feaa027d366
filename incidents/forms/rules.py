"""The form of an alert rule. Minutes and lines of text here, seconds and values in the model."""

from decimal import Decimal
from typing import Any

from django import forms

from accounts.access import can, teams_where
from accounts.models import Membership, User
from incidents.forms.lines import lines_to_values
from incidents.forms.rule_fields import (
    NEEDED,
    PLACEHOLDERS,
    SHAPES,
    THEN,
    WORDS,
    budget_field,
    check_field,
    metrics_of,
    severities_of,
    slo_field,
)
from incidents.models import Alert, AlertRule, RunbookSection
from incidents.rules.kinds import KINDS
from incidents.sources import known

# A rule may be changed from one of these to another; any other kind stays what it is.
METRIC_KINDS = ("threshold", "baseline", "no_data")
KIND_WORDS = {
    "threshold": "Threshold",
    "baseline": "Ratio to the same hours of earlier weeks",
    "no_data": "No data",
    "burn_rate": "Burn rate of an objective",
    "canary": "Synthetic check",
    "anomaly": "Anomaly",
    "budget": "Budget threshold or forecast",
    "desk": "The desk itself",
}
NO_DATA = [("ok", "is well"), ("hold", "changes nothing"), ("fire", "fires")]
DECLARES = [("", "None"), ("1", "SEV1"), ("2", "SEV2"), ("3", "SEV3"), ("4", "SEV4")]
FIGURE: dict[str, Any] = {"max_digits": 24, "decimal_places": 9}
# Fields of the model that the form shows as they are, in minutes, and the options it shows.
SAME = ("name", "metric", "filters", "breakdown", "comparison", "threshold", "clear_threshold", "min_events", "slo")
ALSO = ("baseline_weeks", "severity", "route", "first_mitigation", "owner", "parent", "runbook_section")
MINUTES = {"window_minutes": "window_seconds", "for_minutes": "for_seconds", "clear_minutes": "clear_seconds"}
OPTIONS = ("sure", "times_usual", "floor", "declare", "no_data", "check", "source", "when", "budget")
LONG_AND_SHORT = {"long_minutes": "long_seconds", "short_minutes": "short_seconds"}
# What a field that the kind does not know is set to.
UNSET = ("metric", "filters", "breakdown", "comparison", "threshold", "clear_threshold", "min_events", "slo")


class RuleForm(forms.Form):
    """The fields that count for the kind that is chosen; of another kind they are others."""

    name = forms.CharField(max_length=150, help_text="What is wrong when it fires")
    kind = forms.ChoiceField(label="Kind of rule")
    metric = forms.ChoiceField(required=False, help_text="From the metrics catalogue")
    source = forms.ChoiceField(required=False, label="Answers for")
    when = forms.ChoiceField(
        required=False, label="Found as", help_text="Only what is raised with this severity; the rule gives it its own"
    )
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
    long_minutes = forms.IntegerField(
        min_value=2, max_value=43_200, initial=60, label="Long window", help_text="Minutes: that it matters"
    )
    short_minutes = forms.IntegerField(
        min_value=1, max_value=10_080, initial=5, label="Short window", help_text="Minutes: that it goes on"
    )
    failures = forms.IntegerField(
        min_value=1, max_value=100, initial=2, label="Failures in a row", help_text="So many and it fires"
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
        self.user, self.rule = user, rule if rule and rule.pk else None
        self.everyone = can(user, "rule.edit")
        self.shape = self._kind()
        self._choose()
        self._point()
        shown = {name for panel in SHAPES[self.shape] for name in panel}
        for name in set(self.fields) - shown - {"kind", "version", *THEN}:
            del self.fields[name]
        self._word()

    def _word(self) -> None:
        """What fields are called, and which cannot be left empty, for the kind."""
        for name, words in WORDS.get(self.shape, {}).items():
            for attribute, text in words.items():
                setattr(self.fields[name], attribute, text)
        for name, missing in NEEDED.get(self.shape, {}).items():
            self.fields[name].required = True
            self.fields[name].error_messages["required"] = missing
        if "filters" in self.fields and self.shape in PLACEHOLDERS:
            self.fields["filters"].widget.attrs["placeholder"] = PLACEHOLDERS[self.shape]

    def _kind(self) -> str:
        """The kind whose fields are shown; of a stored rule only those of metrics may take each other's place."""
        kinds = [name for name in KIND_WORDS if name != "desk" or self.everyone]
        if self.rule:
            kinds = list(METRIC_KINDS) if self.rule.kind in METRIC_KINDS else [self.rule.kind]
        self.fields["kind"] = forms.ChoiceField(
            choices=[(name, KIND_WORDS[name]) for name in kinds], label="Kind of rule"
        )
        asked = (self.data.get("kind") if self.is_bound else self.initial.get("kind")) or kinds[0]
        return asked if asked in kinds else kinds[0]

    def _choose(self) -> None:
        """Choices that depend on the kind."""
        fields: dict[str, Any] = self.fields
        fields["metric"].choices = metrics_of(self.shape)
        sources = known(self.shape)
        fields["source"].choices = [(one.key, one.name) for one in sources]
        fields["when"].choices = severities_of(sources)

    def _point(self) -> None:
        """Fields that point to rows."""
        needed = not self.everyone and self.shape != AlertRule.Kind.CANARY  # a check brings its team along
        teams = forms.ModelChoiceField(teams_where(self.user, "rule.edit"), required=needed, help_text="Whose traffic")
        teams.empty_label = "All teams" if self.everyone else "Choose a team"
        self.fields["team"] = teams
        people = User.objects.filter(pk__in=Membership.objects.values("user"), is_active=True).order_by("email")
        self.fields["owner"] = forms.ModelChoiceField(people, required=False, empty_label="Nobody yet")
        sections = RunbookSection.objects.select_related("runbook").order_by("runbook__title", "pk")
        self.fields["runbook_section"] = forms.ModelChoiceField(
            sections, empty_label="Choose the section to follow", help_text="Opened by whoever answers"
        )
        parents = AlertRule.objects.filter(is_active=True, team=self.rule.team if self.rule else None)
        self.fields["parent"] = forms.ModelChoiceField(
            parents.exclude(pk=self.rule.pk if self.rule else 0),
            required=False,
            empty_label="None",
            help_text="While it fires, this one is muted",
        )
        rows = {"burn_rate": ("slo", slo_field), "canary": ("check", check_field), "budget": ("budget", budget_field)}
        if self.shape in rows:
            name, make = rows[self.shape]
            self.fields[name] = make(self.user)

    def clean_breakdown(self) -> list[str]:
        return list(dict.fromkeys(filter(None, (name.strip() for name in self.cleaned_data["breakdown"].split(",")))))

    def clean_filters(self) -> dict[str, list[str]]:
        return lines_to_values(self.cleaned_data["filters"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if check := data.get("check"):
            data["team"] = check.team
        elif slo := data.get("slo"):
            data["team"] = slo.team
        if "team" in self.fields and not data.get("team") and not self.everyone and "team" not in self.errors:
            self.add_error("team", "Choose a team: only organisation-wide roles make rules of all teams.")
        return data

    @property
    def about(self) -> str:
        """When a rule of the kind fires, in a sentence."""
        return KINDS[self.shape].about

    @property
    def values(self) -> dict[str, Any]:
        """What `save_rule` takes, but for the options that the form does not show."""
        data = self.cleaned_data
        fresh = AlertRule()
        found = {name: getattr(fresh, name) for name in UNSET} | {"kind": self.shape, "team": data.get("team")}
        found |= {name: data[name] for name in (*SAME, *ALSO) if name in data}
        found |= {model: int(data[name] * 60) for name, model in MINUTES.items() if name in data}
        if "failures" in data:
            found["threshold"] = Decimal(data["failures"] - 1)
        if "long_minutes" in data:
            found["window_seconds"] = data["long_minutes"] * 60
        return found

    @property
    def options(self) -> dict[str, Any]:
        """The options the form shows, those that are set."""
        data = self.cleaned_data
        found = {name: data.get(name) for name in OPTIONS}
        plain = {name: str(value) if isinstance(value, Decimal) else value for name, value in found.items() if value}
        if "declare" in plain:
            plain["declare"] = int(plain["declare"])
        if self.shape == AlertRule.Kind.ANOMALY:
            plain["source"] = known(self.shape)[0].key
        if check := data.get("check"):
            plain["check"] = check.pk
        plain |= {option: data[name] * 60 for name, option in LONG_AND_SHORT.items() if name in data}
        return {name: value for name, value in plain.items() if (name, value) != ("no_data", "ok")}

    def _fields(self, *names: str) -> list[forms.BoundField]:
        return [self[name] for name in names]

    @property
    def what_fields(self) -> list[forms.BoundField]:
        return self._fields(*SHAPES[self.shape][0])

    @property
    def when_fields(self) -> list[forms.BoundField]:
        return self._fields(*SHAPES[self.shape][1])

    @property
    def chance_fields(self) -> list[forms.BoundField]:
        return self._fields(*SHAPES[self.shape][2])

    @property
    def then_fields(self) -> list[forms.BoundField]:
        return self._fields(*THEN)


def as_initial(rule: AlertRule) -> dict[str, Any]:
    """A rule as the form's fields."""
    same = (*SAME, *ALSO, "kind", "team", "version")
    figures = {name: getattr(rule, name) for name in ("threshold", "clear_threshold")}
    seconds = {name: rule.options.get(option) for name, option in LONG_AND_SHORT.items()}
    return (
        {name: getattr(rule, name) for name in same}
        | {name: None if value is None else f"{value.normalize():f}" for name, value in figures.items()}
        | {name: rule.options.get(name) for name in OPTIONS}
        | {name: value // 60 for name, value in seconds.items() if value}
        | {name: _minutes(getattr(rule, model)) for name, model in MINUTES.items()}
        | {
            "failures": 2 if rule.threshold is None else int(rule.threshold) + 1,
            "breakdown": ", ".join(rule.breakdown),
            "filters": "\n".join(f"{name} = {', '.join(values)}" for name, values in rule.filters.items()),
        }
    )


def _minutes(seconds: int) -> str:
    return f"{(Decimal(seconds) / 60).quantize(Decimal('0.1')).normalize():f}"
