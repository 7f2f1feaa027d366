"""Evaluating alert rules: read everything, then bring states and alerts in line with it, some rules at a time.

It works on what is stored, so a run that is missed, doubled or killed half way changes nothing for good: alerts that
should be open and are not are begun, alerts that should not be are ended.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, transaction
from django.db.models import QuerySet

from incidents.actions.alerts import Raised, begin, resolve, take_turn
from incidents.actions.grouping import refresh_muting
from incidents.models import Alert, AlertRule, RuleState
from incidents.queries.burning import BurnRates
from incidents.queries.canaries import canary_label_sets
from incidents.queries.desk import EVALUATED, desk_label_sets
from incidents.queries.drilling import add_drills
from incidents.queries.readings import METRIC_KINDS, Found, LabelSet, read
from incidents.rules.alert_rules import Reading, Standing, judge, step
from incidents.rules.measured import measured, terms
from incidents.rules.words import condition, detail, title

logger = logging.getLogger(__name__)
SOURCE, FAILURE = "rule", "rule_failure"
# Rules whose states and alerts are written in one transaction.
TOGETHER = 200
# A label set that was OK this long is forgotten.
FAILED_RUNBOOK = "desk#containment"
Place = tuple[int | None, str]


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation did: rules read, rules that failed, alerts begun and ended."""

    rules: int = 0
    failed: int = 0
    begun: int = 0
    ended: int = 0


def evaluate(now: datetime, kinds: Iterable[str] = EVALUATED) -> Evaluated:
    """Evaluate every active rule of these kinds as of `now`."""
    rules = list(active_rules().filter(kind__in=list(kinds)))
    found = _read(rules, now)
    begun = ended = 0
    readable = [rule for rule in rules if rule.pk in found.sets]
    for first in range(0, len(readable), TOGETHER):
        part = readable[first : first + TOGETHER]
        more_begun, more_ended, failures = _apply_apart(part, found, now)
        found.failures.update(failures)
        begun, ended = begun + more_begun, ended + more_ended
    _mark(rules, found.failures, now)
    with transaction.atomic():
        take_turn()
        ended += _end_strays(now)
        refresh_muting(now)
    return Evaluated(len(rules), len(found.failures), begun, ended)


def active_rules() -> QuerySet[AlertRule]:
    """With what evaluating and writing them reads."""
    return (
        AlertRule.objects.filter(is_active=True)
        .select_related("runbook_section__runbook", "slo__team", "owner")
        .order_by("pk")
    )


# --- Reading ----------------------------------------------------------------------------------------------------
def _read(rules: Sequence[AlertRule], now: datetime) -> Found:
    """Label sets of every rule; of a rule of all teams, without those that have a rule of their own instead."""
    found = read([rule for rule in rules if rule.kind in METRIC_KINDS], now)
    burn_rates = BurnRates([rule for rule in rules if rule.kind == AlertRule.Kind.BURN_RATE])
    for rule in rules:
        if rule.kind == AlertRule.Kind.DESK:
            _try(rule, desk_label_sets, found, now)
        elif rule.kind == AlertRule.Kind.BURN_RATE:
            _try(rule, burn_rates.label_sets, found, now)
        elif rule.kind == AlertRule.Kind.CANARY:
            _try(rule, canary_label_sets, found, now)
    add_drills(rules, found, now)
    own = own_rules(rules)
    for rule in rules:
        if rule.team_id is None and own[rule.slug] and rule.pk in found.sets:
            found.sets[rule.pk] = [one for one in found.sets[rule.pk] if one.team_id not in own[rule.slug]]
    return found


def own_rules(rules: Iterable[AlertRule]) -> dict[str, set[int]]:
    """Slug of a rule of all teams → teams that have a rule instead of it."""
    own: dict[str, set[int]] = defaultdict(set)
    for rule in rules:
        if rule.team_id is not None and (instead_of := rule.options.get("instead_of")):
            own[instead_of].add(rule.team_id)
    return own


def _try(rule: AlertRule, reader: Callable, found: Found, now: datetime) -> None:
    try:
        with transaction.atomic():
            found.sets[rule.pk] = reader(rule, now)
    except Exception as error:  # whatever is wrong with one rule, the others are evaluated
        logger.exception("Rule %s could not be read.", rule.slug)
        found.failures[rule.pk] = str(error).strip()[:500] or type(error).__name__


# --- Writing ----------------------------------------------------------------------------------------------------
def _apply_apart(part: Sequence[AlertRule], found: Found, now: datetime) -> tuple[int, int, dict[int, str]]:
    """Alerts begun, alerts ended, and the rules that could not be written, which then are tried one by one."""
    try:
        return (*_apply(part, found, now), {})
    except (DatabaseError, ArithmeticError, ValueError, TypeError, KeyError):
        logger.exception("Some of %s rules could not be written together.", len(part))
    begun, ended, failures = 0, 0, {}
    for rule in part:
        try:
            more_begun, more_ended = _apply([rule], found, now)
        except (DatabaseError, ArithmeticError, ValueError, TypeError, KeyError) as error:
            failures[rule.pk] = str(error).strip()[:500] or type(error).__name__
        else:
            begun, ended = begun + more_begun, ended + more_ended
    return begun, ended, failures


def _apply(rules: Sequence[AlertRule], found: Found, now: datetime) -> tuple[int, int]:
    with transaction.atomic():
        take_turn()
        states: dict[int, dict[Place, RuleState]] = defaultdict(dict)
        for state in RuleState.objects.filter(rule__in=rules):
            states[state.rule_id][state.team_id, state.key] = state
        stepped = [(rule, one) for rule in rules for one in _stepped(rule, found.sets[rule.pk], states[rule.pk], now)]
        _keep([state for _, state in stepped], now)
        return _bring_alerts_in_line(rules, stepped, now)


def _stepped(
    rule: AlertRule, sets: Iterable[LabelSet], known: dict[Place, RuleState], now: datetime
) -> Iterator[RuleState]:
    """The state of every label set that is not simply OK, or was not before."""
    asked = terms(rule)
    read_now = {(one.team_id, one.key): one for one in sets}
    for place in known.keys() | read_now.keys():
        one, before = read_now.get(place), known.get(place)
        reading = one.reading if one else Reading(None, 0 if rule.min_events else None)
        verdict = judge(asked, reading)
        if before is None and verdict != "breach":
            continue
        state = before or RuleState(rule=rule, team_id=place[0], key=place[1], labels=one.labels if one else {})
        _move(state, step(standing_of(state), verdict, asked, now), reading)
        yield state


def standing_of(state: RuleState) -> Standing:
    """A stored state as the rules see it."""
    return Standing(
        state=state.state,  # type: ignore[arg-type]  # one of its choices
        pending_since=state.pending_since,
        well_since=state.well_since,
        changes=tuple(datetime.fromisoformat(at) for at in state.changes),
        seen=state.evaluated_at,
    )


def _move(state: RuleState, after: Standing, reading: Reading) -> None:
    state.state, state.pending_since, state.well_since = after.state, after.pending_since, after.well_since
    state.changes = [at.isoformat() for at in after.changes]
    if after.seen:
        state.evaluated_at = after.seen
    state.value, state.reference, state.events = reading.value, reading.reference, reading.events


_KEPT = ["labels", "state", "value", "reference", "events", "pending_since", "well_since", "changes", "evaluated_at"]


def _keep(states: Sequence[RuleState], now: datetime) -> None:
    """Write them; what has been OK without a change for long is forgotten."""
    over = [one.pk for one in states if one.pk and one.state == "ok" and not one.changes]
    RuleState.objects.filter(pk__in=over).delete()
    kept = [one for one in states if one.state != "ok" or one.changes]
    RuleState.objects.bulk_create(
        kept, batch_size=500, update_conflicts=True, unique_fields=["rule", "team", "key"], update_fields=_KEPT
    )


def _bring_alerts_in_line(
    rules: Sequence[AlertRule], stepped: Iterable[tuple[AlertRule, RuleState]], now: datetime
) -> tuple[int, int]:
    firing = {source_key(rule, state): (rule, state) for rule, state in stepped if state.state == "firing"}
    open_now = {
        key: (severity, route)
        for key, severity, route in Alert.objects.filter(
            source_kind=SOURCE, rule__in=rules, resolved_at=None
        ).values_list("source_key", "severity", "route")
    }
    wanted = [
        _raised(rule, state, now)
        for key, (rule, state) in firing.items()
        if open_now.get(key) != (rule.severity, rule.route)
    ]
    begin(wanted, now)
    over = open_now.keys() - firing.keys()
    return len(wanted), resolve(SOURCE, over, now) if over else 0


def source_key(rule: AlertRule, state: RuleState) -> str:
    """Names the label set of a rule: one open alert for each."""
    return f"{rule.pk}:{state.team_id or ''}:{state.key}"[:200]


def _raised(rule: AlertRule, state: RuleState, now: datetime) -> Raised:
    what, asked = measured(rule), terms(rule)
    reading = Reading(state.value, state.events, state.reference)
    sentence = condition(what.name, asked.above, asked.threshold, what.unit, rule.window_seconds, rule.for_seconds)
    return Raised(
        source_kind=SOURCE,
        source_key=source_key(rule, state),
        team_id=state.team_id,
        severity=rule.severity,
        route=rule.route,
        title=title(rule.name, reading, what.unit, state.labels),
        runbook=rule.runbook_section.key,
        at=min(state.pending_since or now, now),
        detail=detail(sentence, reading, what.unit, what.of, "in the window"),
        labels=state.labels,
        rule_id=rule.pk,
    )


def _end_strays(now: datetime) -> int:
    """End alerts of rules that are gone or switched off, and alerts about failures of such rules."""
    active = AlertRule.objects.filter(is_active=True)
    strays = Alert.objects.filter(source_kind=SOURCE, resolved_at=None).exclude(rule__in=active)
    alive = {str(pk) for pk in active.values_list("pk", flat=True)}
    return resolve(SOURCE, list(strays.values_list("source_key", flat=True)), now) + resolve(
        FAILURE, _failure_alerts() - alive, now
    )


# --- Rules that cannot be evaluated -----------------------------------------------------------------------------
def _mark(rules: Sequence[AlertRule], failures: dict[int, str], now: datetime) -> None:
    """Note which rules were evaluated and which failed; a failure has an alert of its own until it is over."""
    well = [rule for rule in rules if rule.pk not in failures]
    AlertRule.objects.filter(pk__in=[rule.pk for rule in well]).update(evaluated_at=now)
    healed = [rule.pk for rule in well if rule.failed_at]
    AlertRule.objects.filter(pk__in=healed).update(failed_at=None, failure="")
    ill = [rule for rule in rules if rule.pk in failures]
    for rule in ill:
        AlertRule.objects.filter(pk=rule.pk).update(failed_at=rule.failed_at or now, failure=failures[rule.pk])
    told = _failure_alerts()
    begin([_failed(rule, failures[rule.pk], now) for rule in ill if str(rule.pk) not in told], now)
    resolve(FAILURE, told & {str(rule.pk) for rule in well}, now)


def _failure_alerts() -> set[str]:
    return set(Alert.objects.filter(source_kind=FAILURE, resolved_at=None).values_list("source_key", flat=True))


def _failed(rule: AlertRule, failure: str, now: datetime) -> Raised:
    return Raised(
        source_kind=FAILURE,
        source_key=str(rule.pk),
        team_id=rule.team_id,
        severity="warning",
        route="ticket",
        title=f"Rule cannot be evaluated: {rule.name}",
        runbook=FAILED_RUNBOOK,
        at=now,
        detail=f"It finds nothing until it is mended. {failure}",
        labels={"rule": rule.slug},
    )
