"""Bringing a running drill's telemetry up to now: simulated callers ask the guard and report through the ingest."""

from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from random import Random

from django.db.models import F

from accounts.models import ApiKey
from aiops_site.drills.calls import CALLERS, COUNTERPARTS, NOTHING_WRONG, Ask, Caller, Route, as_asked, request
from budgets.guard.answers import answer
from budgets.guard.closing import release
from budgets.guard.decide import decide
from budgets.guard.requests import Release, Reserve
from incidents.models import Drill
from incidents.rules.drills import SCENARIOS, Fault
from usage.actions import record_events
from usage.demo.rhythm import poisson
from usage.measures import DRILL_ENVIRONMENT

BATCH = 2_000
SLOT = timedelta(seconds=5)
# Healthy traffic before the fault, and in the same hours a week ago: rules compare with it.
HISTORY, WEEK, HOUR = timedelta(hours=2), timedelta(weeks=1), timedelta(hours=1)
# Stopped for longer, the drill goes on with what is now; nobody waits for an hour of the past.
CATCH_UP = timedelta(minutes=5)


def inject(drill: Drill, now: datetime) -> int:
    """Make and record what happened since the last time; returns how many events were new.

    The stretch is claimed first, so two workers never make it twice; one that dies with its claim leaves a gap of
    seconds, as a caller that dies does. No transaction is open while the guard is asked: its rows are hot.
    """
    if drill.api_key is None or not _claim(drill, until := _slot(min(now, drill.ends_at))):
        return 0
    seen: Counter[str] = Counter()
    events = _history(drill) if drill.injected_until is None else []
    start = max(drill.injected_until or _slot(drill.started_at), until - CATCH_UP)
    accepted = _record(drill, events + _events(drill, start, until, partial(_guarded, drill.api_key, seen)))
    Drill.objects.filter(pk=drill.pk).update(
        injected_events=F("injected_events") + accepted,
        denied_calls=F("denied_calls") + seen["denied"],
        moved_calls=F("moved_calls") + seen["moved"],
    )
    return accepted


def _claim(drill: Drill, until: datetime) -> bool:
    known = drill.injected_until
    if until <= (known or _slot(drill.started_at)):
        return False
    mine = Drill.objects.filter(pk=drill.pk, state=Drill.State.RUNNING, injected_until=known)
    return mine.update(injected_until=until) == 1


def _slot(at: datetime) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // SLOT.total_seconds() * SLOT.total_seconds(), at.tzinfo)


def _history(drill: Drill) -> list[dict]:
    start, end = _slot(drill.started_at), _slot(drill.ends_at)
    first, last = ((at - WEEK).replace(minute=0, second=0) for at in (start, end))
    # What is usual is read over the whole hours of an incident and one on either side.
    return _events(drill, first - HOUR, last + 2 * HOUR, as_asked) + _events(drill, start - HISTORY, start, as_asked)


def _record(drill: Drill, events: list[dict]) -> int:
    """In batches as a client would send them; the ids follow from drill and time, so none is ever there twice."""
    starts = range(0, len(events), BATCH)
    return sum(_record_batch(drill, events[start : start + BATCH]) for start in starts)


def _record_batch(drill: Drill, events: list[dict]) -> int:
    key = drill.api_key_id
    return record_events(team=drill.team, environment=DRILL_ENVIRONMENT, api_key_id=key, events=events).accepted


def _events(drill: Drill, start: datetime, end: datetime, ask: Ask) -> list[dict]:
    made: list[dict] = []
    while start < end:
        fault = SCENARIOS[drill.scenario].fault if start >= drill.fault_at else NOTHING_WRONG
        for caller in CALLERS:
            made += _slot_of(drill, caller, start, fault, ask)
        start += SLOT
    return made


def _slot_of(drill: Drill, caller: Caller, start: datetime, fault: Fault, ask: Ask) -> list[dict]:
    seed = f"drill-{drill.pk}-{caller.feature}-{start:%Y%m%d%H%M%S}"
    rng = Random(seed)  # noqa: S311 -- repeatable on purpose, nothing secret
    factor = fault.traffic_factor if fault.touches(caller.feature, caller.provider) else 1.0
    wanted = poisson(rng, caller.per_minute * SLOT.total_seconds() / 60 * factor)
    events: list[dict] = []
    for number in range(wanted):
        at = start + timedelta(seconds=rng.random() * SLOT.total_seconds())
        # Of its own stream: what the guard answers changes this request only.
        events += request(Random(f"{seed}-{number}"), f"{seed}-{number}", caller, at, fault, ask)  # noqa: S311
    return events


def _guarded(key: ApiKey, seen: Counter[str], caller: Caller) -> Route:
    """What the guard says of a call of this caller. It is given back at once: a drill spends nothing."""
    asked = Reserve(
        provider=caller.provider,
        model=caller.model,
        feature=caller.feature,
        environment=DRILL_ENVIRONMENT,
        input_tokens=caller.input_tokens,
        max_output_tokens=caller.output_tokens * 4,
        tools=caller.tools,
        queue_class="batch" if caller.tool else "realtime",
    )
    told = answer(decide(key, asked, check=False), key.team_id)
    if told["reservation_id"]:
        release(key, Release(reservation_id=told["reservation_id"]))
    if told["decision"] == "deny":
        seen["denied"] += 1
        return Route(caller.provider, caller.model, denied=True)
    provider, model = told["provider"], told["model"]
    if provider != caller.provider and model == caller.model:
        model = COUNTERPARTS.get(provider, model)
    moved = (provider, model) != (caller.provider, caller.model) or told["tools_off"]
    seen["moved"] += 1 if moved else 0
    most = {"most_input": told["max_context_tokens"], "most_output": told["max_output_tokens"]}
    return Route(provider, model, tools_off=tuple(told["tools_off"]), **most)
