"""Which fields of the rule form count for which kind, what they are called there, and from where they come."""

from typing import Any

from django import forms

from accounts.access import can, teams_where
from accounts.models import User
from incidents.models import AlertRule
from incidents.queries.canaries import visible_canaries
from incidents.queries.slos import visible_slos
from incidents.rules.measured import DESK_FACTS
from incidents.sources import Source, known
from usage.metrics import CATALOGUE

METRICS = sorted(((name, f"{one.label} ({one.unit})") for name, one in CATALOGUE.items()), key=lambda pair: pair[1])
_COMPARED = ("comparison", "threshold", "clear_threshold", "window_minutes", "for_minutes", "clear_minutes")
_HOLDS = ("for_minutes", "clear_minutes")
# Kind → fields of the panels “What is watched”, “When it fires” and “Against noise”.
SHAPES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "threshold": (
        ("name", "metric", "team", "filters", "breakdown"),
        (*_COMPARED, "min_events", "no_data"),
        ("sure", "times_usual", "baseline_weeks"),
    ),
    "baseline": (
        ("name", "metric", "team", "filters", "breakdown"),
        (*_COMPARED, "min_events", "no_data"),
        ("floor", "sure", "baseline_weeks"),
    ),
    "no_data": (
        ("name", "team", "filters", "breakdown"),
        ("window_minutes", *_HOLDS),
        ("min_events", "baseline_weeks"),
    ),
    "burn_rate": (
        ("name", "slo"),
        ("threshold", "long_minutes", "short_minutes"),
        ("min_events", *_HOLDS),
    ),
    "canary": (("name", "check", "team"), ("failures", *_HOLDS), ()),
    "anomaly": (("name", "metric", "team", "filters"), ("when",), ()),
    "budget": (("name", "source", "budget", "team"), ("when",), ()),
    "desk": (("name", "metric"), ("threshold", "clear_threshold", *_HOLDS), ()),
}
THEN = ("severity", "route", "runbook_section", "first_mitigation", "owner", "declare", "parent", "note")
# Fields that a kind cannot do without, and what is said where they are empty.
NEEDED: dict[str, dict[str, str]] = {
    kind: {"metric": "Choose a metric.", "threshold": "Say from which value on it fires."}
    for kind in ("threshold", "baseline", "desk")
} | {
    "burn_rate": {"threshold": "Say from which burn rate on it fires, e.g. 14.4."},
    "budget": {"source": "Choose what it answers for."},
}
PLACEHOLDERS = {"anomaly": "feature = chat, search"}
# Kind → field → what it is called or helped by there.
WORDS: dict[str, dict[str, dict[str, Any]]] = {
    "baseline": {"threshold": {"help_text": "So many times the usual: 2 for twice, 0.5 for half"}},
    "no_data": {
        "min_events": {
            "label": "Requests that are usual",
            "help_text": "Only where at least so many came at these hours of earlier weeks",
        },
        "window_minutes": {"help_text": "Minutes without a request"},
    },
    "burn_rate": {
        "threshold": {
            "label": "Burn rate",
            "help_text": "Both windows must burn faster. 1 uses the budget up exactly by the end of its window; "
            "14.4 in an hour or 6 in six hours uses 2 % or 5 % of that of 30 days",
        },
        "min_events": {"help_text": "Fewer in the long window: not judged. At 10 requests one failure is chance"},
    },
    "canary": {"team": {"help_text": "Whose checks; one check is of its own team"}},
    "anomaly": {
        "metric": {"label": "About", "help_text": "Empty: whatever is away from what is expected"},
        "filters": {"help_text": "Only of these: a line for feature or model"},
    },
    "desk": {
        "metric": {"label": "What is late", "help_text": "What the desk measures of itself"},
        "threshold": {"label": "From", "help_text": "Seconds"},
        "clear_threshold": {"help_text": "Seconds. Empty: at the same"},
    },
}


def metrics_of(kind: str) -> list[tuple[str, str]]:
    """What a rule of the kind may name as its metric."""
    if kind == AlertRule.Kind.DESK:
        return [*DESK_FACTS.items()]
    if kind == AlertRule.Kind.ANOMALY:
        return [("", "Anything"), *(pair for source in known(kind) for pair in source.metrics.items())]
    return [("", "–"), *METRICS]


def severities_of(sources: list[Source]) -> list[tuple[str, str]]:
    """What these sources raise, mildest first."""
    names = {severity: severity.capitalize() for source in sources for severity in source.severities}
    order = ("info", "warning", "critical")
    return [("", "Any of them"), *((name, names[name]) for name in order if name in names)]


def slo_field(user: User) -> forms.Field:
    mine = visible_slos(user).filter(is_active=True, team__in=teams_where(user, "rule.edit"))
    if can(user, "rule.edit"):
        mine = visible_slos(user).filter(is_active=True)
    return forms.ModelChoiceField(
        mine, label="Objective", empty_label="Choose an objective", help_text="Its error budget is watched"
    )


def check_field(user: User) -> forms.Field:
    mine = visible_canaries(user).filter(is_active=True)
    if not can(user, "rule.edit"):
        mine = mine.filter(team__in=teams_where(user, "rule.edit"))
    return forms.ModelChoiceField(
        mine, required=False, label="Synthetic check", empty_label="Every check", help_text="Which must fail"
    )


def budget_field(user: User) -> forms.Field:
    """Of the teams whose rules the user edits, and of the organisation for organisation-wide roles."""
    everyone, teams = can(user, "rule.edit"), list(teams_where(user, "rule.edit").values_list("pk", flat=True))
    source = next((one for one in known(AlertRule.Kind.BUDGET) if one.budgets), None)
    found = source.budgets(teams) if source and source.budgets else []
    choices = [(key, name) for key, name, team in found if team is not None or everyone]
    return forms.ChoiceField(choices=[("", "Every budget"), *choices], required=False)
