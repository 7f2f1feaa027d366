"""What alert rules measure of the telemetry of running drills: the same rules, over the environment of drills."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from incidents.models import AlertRule
from incidents.queries.drills import running_game_days
from incidents.queries.readings import Found, LabelSet, read
from usage.measures import DRILL_ENVIRONMENT

# A drill is short: that nothing came before or after it is no fault.
KINDS = (AlertRule.Kind.THRESHOLD, AlertRule.Kind.BASELINE)


def add_drills(rules: Sequence[AlertRule], found: Found, now: datetime) -> None:
    """Put the label sets of drills to those of the rules, marked by the label `environment`."""
    teams = {drill.team_id for drill in running_game_days()}
    over = [_over_drills(rule) for rule in rules if rule.kind in KINDS and rule.team_id in {None, *teams}]
    if not teams or not over:
        return
    seen = read(over, now)
    for pk, sets in seen.sets.items():
        found.sets.setdefault(pk, []).extend(_marked(one) for one in sets if one.team_id in teams)


def _over_drills(rule: AlertRule) -> AlertRule:
    """The rule over the environment of drills, not to be saved. Objectives keep what they are over."""
    changed = {"pk": rule.pk, "filters": rule.filters | {"environment": [DRILL_ENVIRONMENT]}}
    names = [field.attname for field in AlertRule._meta.concrete_fields if field.attname not in ("id", "filters")]
    return AlertRule(**{name: getattr(rule, name) for name in names}, **changed)


def _marked(one: LabelSet) -> LabelSet:
    return replace(one, labels=one.labels | {"environment": DRILL_ENVIRONMENT})
