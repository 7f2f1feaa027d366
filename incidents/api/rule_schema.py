"""Alert rules as programs send and read them: flat, in seconds, what they point to by name."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db.models import Q
from rest_framework import serializers

from accounts.models import Team, User
from incidents.models import Alert, AlertRule, Canary, RunbookSection, Slo
from incidents.rules.kinds import KINDS, counts
from incidents.views.rule_shown import sentence

MOST_VALUES = 50
# Fields that are options of the model; the others are columns.
OPTIONS = (
    *("sure", "times_usual", "floor", "no_data", "declare", "declare_after_change", "instead_of"),
    *("long_seconds", "short_seconds", "check", "source", "when", "budget"),
)
FIGURES = ("times_usual", "floor")
# What the API calls otherwise than the model.
NAMES = {"slo": "slo_id"}
SAME = (
    *("name", "kind", "metric", "filters", "breakdown", "comparison", "window_seconds", "for_seconds"),
    *("clear_seconds", "min_events", "baseline_weeks", "severity", "route", "first_mitigation", "is_active"),
)
DAYS_30 = 30 * 86_400


def _figure(help_text: str, **more) -> serializers.DecimalField:
    return serializers.DecimalField(
        max_digits=24, decimal_places=9, required=False, allow_null=True, help_text=help_text, **more
    )


def _seconds(least: int, most: int, help_text: str) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=least, max_value=most, required=False, help_text=help_text)


class RuleSerializer(serializers.Serializer):
    """A rule of the key's team. Which fields count is said by `kind`; one that means nothing for it is refused."""

    name = serializers.CharField(max_length=150, help_text="What is wrong when it fires")
    kind = serializers.ChoiceField([(kind, KINDS[kind].about) for kind in KINDS if kind != "desk"])
    metric = serializers.CharField(
        max_length=60, required=False, allow_blank=True, help_text="Of the metrics catalogue; of an anomaly: spend …"
    )
    filters = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(max_length=200), min_length=1, max_length=MOST_VALUES),
        required=False,
        help_text='Dimension → values, e.g. {"provider": ["openai"]}',
    )
    breakdown = serializers.ListField(
        child=serializers.CharField(max_length=60), required=False, max_length=10, help_text="Dimensions"
    )
    comparison = serializers.ChoiceField(AlertRule.Comparison.choices, required=False)
    threshold = _figure("In the metric's unit; a ratio; a burn rate; of a check, failures in a row that are still well")
    clear_threshold = _figure("Where it is well again; null: at the threshold")
    window_seconds = _seconds(60, 604_800, "Over which the metric is taken")
    for_seconds = _seconds(0, 86_400, "How long it must hold before it fires")
    clear_seconds = _seconds(0, 86_400, "How long it must be well before it is over")
    min_events = _seconds(0, 10_000_000, "Fewer in the window: not judged")
    baseline_weeks = _seconds(1, 8, "Earlier weeks that are compared with")
    sure = serializers.IntegerField(min_value=1, max_value=100, required=False, allow_null=True)
    times_usual = _figure("The threshold is at least so many times the usual", min_value=1, max_value=1000)
    floor = _figure("Of a ratio: the usual counts as at least this", min_value=0)
    no_data = serializers.ChoiceField(["ok", "hold", "fire"], required=False, help_text="What no data means")
    slo = serializers.IntegerField(required=False, allow_null=True, help_text="Id of an objective: of a burn rate")
    long_seconds = _seconds(60, DAYS_30, "Of a burn rate: the long window")
    short_seconds = _seconds(60, DAYS_30, "Of a burn rate: the short window")
    check = serializers.IntegerField(
        required=False, allow_null=True, help_text="Id of a synthetic check; null: every one"
    )
    source = serializers.CharField(  # type: ignore[assignment]  # a field; its metaclass takes it off the class
        max_length=40, required=False, help_text="What it answers for: anomaly, budget, budget-forecast"
    )
    when = serializers.ChoiceField(
        Alert.Severity.choices, required=False, allow_null=True, help_text="Only what was found as this; null: all"
    )
    budget = serializers.CharField(
        max_length=18, required=False, allow_null=True, help_text="Id of a budget; null: every one"
    )
    severity = serializers.ChoiceField(Alert.Severity.choices)
    route = serializers.ChoiceField(Alert.Route.choices)
    runbook = serializers.CharField(max_length=100, help_text="slug#section of a runbook of the desk")
    first_mitigation = serializers.CharField(max_length=300, help_text="What whoever is woken does first")
    owner = serializers.CharField(max_length=254, required=False, allow_null=True, help_text="E-mail of a member")
    parent = serializers.CharField(  # type: ignore[assignment]
        max_length=80, required=False, allow_null=True, help_text="Slug of the rule that mutes this one while it fires"
    )
    declare = serializers.ChoiceField(
        [1, 2, 3, 4], required=False, allow_null=True, help_text="Severity of the incident it declares"
    )
    declare_after_change = serializers.BooleanField(
        required=False, help_text="Only where something changed a day before"
    )
    instead_of = serializers.CharField(
        max_length=80, required=False, allow_null=True, help_text="Slug of a rule of all teams it stands instead of"
    )
    is_active = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if unknown := sorted(set(self.initial_data) - set(self.fields)):
            known = ", ".join(sorted(self.fields))
            raise serializers.ValidationError({unknown[0][:60]: f"There is no such field. Known: {known}."})
        kind = self.context.get("kind") or attrs.get("kind")
        if kind is None:
            raise serializers.ValidationError({"kind": "Say which kind of rule it is."})
        if attrs.get("kind", kind) != kind:
            raise serializers.ValidationError({"kind": f"A rule of kind {kind} stays one. Add another instead."})
        for name in attrs:
            if not counts(kind, NAMES.get(name, name)):
                raise serializers.ValidationError({name: f"It means nothing for a rule of kind {kind}. Leave it out."})
        return attrs


class RuleEditSerializer(RuleSerializer):
    """What is to change. With `version`, that of the rule the edit began with, a lost edit is refused."""

    version = serializers.IntegerField(min_value=1, required=False, help_text="409 where it is another one by now")
    note = serializers.CharField(max_length=500, required=False, allow_blank=True, help_text="Why, for the history")


class RuleShownSerializer(RuleSerializer):
    """A rule that watches the team, its own or one of all teams. What means nothing for its kind is left out."""

    slug = serializers.CharField()
    kind = serializers.ChoiceField(AlertRule.Kind.choices)
    team = serializers.CharField(allow_null=True, help_text="Null: of all teams, which keys cannot change")
    version = serializers.IntegerField()
    condition = serializers.CharField(help_text="In words")
    is_shipped = serializers.BooleanField(help_text="Came with the desk")
    evaluated_at = serializers.DateTimeField(allow_null=True)
    failure = serializers.CharField(allow_blank=True, help_text="Why it cannot be evaluated")


class FiringSerializer(serializers.Serializer):
    """A time it would have fired; `end` null: it still would."""

    team = serializers.CharField()
    labels = serializers.DictField(child=serializers.CharField())
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(allow_null=True)


class BacktestSerializer(serializers.Serializer):
    """What a rule would have done from `start` to `end`: `times` in all, the last 500 of them in `firings`."""

    times = serializers.IntegerField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    step = serializers.CharField(allow_blank=True, help_text="How fine it was looked at: minute, 5min, hour; or empty")
    counts_from = serializers.DateTimeField(help_text="Nothing is stored before that it could judge")
    note = serializers.CharField(allow_blank=True, help_text="What else to know about it")
    firings = FiringSerializer(many=True)


def plain(value: Decimal | None) -> str | None:
    return None if value is None else f"{Decimal(value).normalize():f}"


def shown(rule: AlertRule) -> dict[str, object]:
    """A rule as RuleShownSerializer says it."""
    found: dict[str, Any] = {name: getattr(rule, name) for name in SAME}
    found |= {name: plain(getattr(rule, name)) for name in ("threshold", "clear_threshold")}
    found |= {name: rule.options.get(name) for name in OPTIONS} | {"slo": rule.slo_id}
    found["no_data"] = found["no_data"] or "ok"
    found["declare_after_change"] = bool(found["declare_after_change"])
    counted = {name: value for name, value in found.items() if counts(rule.kind, NAMES.get(name, name))}
    return (
        {"slug": rule.slug, "team": rule.team.slug if rule.team else None, "version": rule.version}
        | counted
        | {
            "condition": sentence(rule),
            "runbook": rule.runbook_section.key,
            "owner": rule.owner.email if rule.owner else None,
            "parent": rule.parent.slug if rule.parent else None,
            "is_shipped": rule.is_shipped,
            "evaluated_at": rule.evaluated_at,
            "failure": rule.failure,
        }
    )


# --- From what was sent to the model --------------------------------------------------------------------------------
def values_of(data: dict[str, Any], team: Team, rule: AlertRule) -> dict[str, Any]:
    """What `save_rule` takes, from checked data. Raises ValidationError where something it points to is not there."""
    pointers: dict[str, Callable] = {"runbook": _section, "owner": _owner, "parent": _parent, "slo": _slo}
    found: dict[str, Any] = {name: data[name] for name in (*SAME, "threshold", "clear_threshold") if name in data}
    for name, find in pointers.items():
        if name in data:
            found["runbook_section" if name == "runbook" else name] = find(data[name], team)
    kind = data.get("kind", rule.kind)
    kept = {name: one for name, one in rule.options.items() if counts(kind, name)}
    found["options"] = kept | {name: _option(name, data[name], team) for name in OPTIONS if name in data}
    unset = (None, "", False) if found["options"].get("no_data") != "ok" else (None, "", False, "ok")
    found["options"] = {name: one for name, one in found["options"].items() if one not in unset}
    if kind == AlertRule.Kind.BURN_RATE and "long_seconds" in data:
        found["window_seconds"] = data["long_seconds"]
    return found


def _option(name: str, value: Any, team: Team) -> Any:
    if name == "check" and value is not None and not Canary.objects.filter(pk=value, team=team).exists():
        raise serializers.ValidationError({"check": "There is no such synthetic check of your team."})
    if name == "instead_of" and value and not AlertRule.objects.filter(slug=value, team=None).exists():
        raise serializers.ValidationError({"instead_of": "There is no such rule of all teams."})
    return str(value) if isinstance(value, Decimal) else value


def _section(key: str, _team: Team) -> RunbookSection:
    slug, _, kind = key.partition("#")
    found = RunbookSection.objects.filter(runbook__slug=slug, kind=kind).first()
    if found is None:
        fix = "No such section. Write slug#section, e.g. latency#mitigation."
        raise serializers.ValidationError({"runbook": fix})
    return found


def _owner(email: str | None, team: Team) -> User | None:
    if not email:
        return None
    member = Q(memberships__team=team) | Q(memberships__team=None, memberships__isnull=False)
    found = User.objects.filter(member, email=email.lower(), is_active=True).first()
    if found is None:
        raise serializers.ValidationError({"owner": "Nobody of your team has this address."})
    return found


def _parent(slug: str | None, team: Team) -> AlertRule | None:
    if not slug:
        return None
    found = AlertRule.objects.filter(slug=slug).first()
    if found is None or found.team_id not in (None, team.pk):
        raise serializers.ValidationError({"parent": "There is no such rule of your team or of all teams."})
    return found


def _slo(pk: int | None, team: Team) -> Slo | None:
    if pk is None:
        return None
    found = Slo.objects.filter(pk=pk, team=team, is_active=True).select_related("team").first()
    if found is None:
        raise serializers.ValidationError({"slo": "There is no such objective of your team. See GET /api/v1/slos."})
    return found
