"""The traffic of one feature in one hour. Every hour has its own random stream, so any of them can be made alone."""

import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from usage.demo import stories, trace
from usage.demo.cast import ENVIRONMENTS, FEATURES, MODELS, TENANT_WEIGHTS, TENANTS, Feature, Model
from usage.demo.changes import version
from usage.demo.rhythm import level, poisson
from usage.demo.trace import Circumstances, Outcome, Trace

SEED = "ai-ops-desk-demo"
HOUR = timedelta(hours=1)
# A conversation begun at the end of an hour goes on into the next one, but never further than this.
LONGEST = timedelta(minutes=30)
_USERS_PER_TENANT = 60
_ANSWER_CACHE = frozenset({"answer-box", "chat-assistant"})
_FEEDBACK_SHARE = 0.03
# Features whose users may ask for a person: the share of requests handed over, and of those answered badly.
_HANDS_OVER = {"chat-assistant": (0.04, 0.22), "docs-chat": (0.015, 0.06)}


def events_of_hour(
    hour: datetime, window_end: datetime, *, feature: Feature, seed: str = SEED, volume: float = 1.0
) -> list[dict]:
    """The events of the conversations that begin in that hour (aware, on the hour), in the ingest's JSON form.

    The same arguments give the same events on every machine. `volume` scales the number of conversations.
    """
    rng = Random(f"{seed}|{feature.name}|{hour:%Y-%m-%dT%H}")  # noqa: S311 -- repeatable on purpose, nothing secret
    start_ms = round(hour.timestamp() * 1000)
    wanted = poisson(rng, feature.per_hour * volume * level(feature.rhythm, hour, window_end))
    events: list[dict] = []
    for number in range(wanted):
        key = f"demo-{feature.name}-{hour:%Y%m%d%H}-{number}"
        events.extend(_conversation(rng, key, feature, start_ms + rng.randrange(3_600_000), window_end))
    return events


def events_between(
    start: datetime, end: datetime, window_end: datetime, *, team: str, seed: str = SEED, volume: float = 1.0
) -> Iterator[dict]:
    """A team's events that are over in [start, end): those of a call that still runs at `end` are not known yet."""
    hour = (start - LONGEST).replace(minute=0, second=0, microsecond=0)
    low, high = start.timestamp() * 1000, end.timestamp() * 1000
    while hour < end:
        for feature in FEATURES:
            if feature.team == team:
                made = events_of_hour(hour, window_end, feature=feature, seed=seed, volume=volume)
                yield from (event for event in made if low <= _ended_ms(event) < high)
        hour += HOUR


def _ended_ms(event: dict) -> float:
    return datetime.fromisoformat(event["occurred_at"]).timestamp() * 1000 + event["latency_ms"]


def _conversation(rng: Random, key: str, feature: Feature, at_ms: int, window_end: datetime) -> Iterator[dict]:
    person = _person(rng, feature)
    before_end = datetime.fromtimestamp(at_ms / 1000, UTC) - window_end
    turns = _turns(rng, feature, _covered(stories.RETRIEVAL, before_end))
    if feature.turns > 1:
        person |= {"conversation_id": f"conv-{key}", "session_id": f"sess-{key}"}
    for turn in range(turns):
        made = _request(rng, f"{key}-{turn}", feature, person, at_ms, window_end)
        yield from made.events
        at_ms = made.clock + rng.randint(9_000, 110_000)


def _turns(rng: Random, feature: Feature, failing: bool) -> int:
    mean = feature.turns
    if failing and feature.name in stories.RETRIEVAL_FEATURES and mean > 1:
        mean *= stories.RETRIEVAL_TURNS
    return min(8, 1 + poisson(rng, mean - 1)) if mean > 1 else 1


def _covered(story: stories.Story, before_end: timedelta) -> bool:
    return story.starts <= before_end < story.ends


def _person(rng: Random, feature: Feature) -> dict:
    environment = rng.choices([name for name, _ in ENVIRONMENTS], [share for _, share in ENVIRONMENTS])[0]
    person = {
        "environment": environment,
        "service": feature.service,
        "feature": feature.name,
        "endpoint": feature.endpoint,
        "initiator": feature.initiator,
        "region": rng.choice(feature.regions),
        "policy_profile": "default",
    }
    tenant = ""
    if feature.has_tenants and environment == "prod":
        tenant = person["tenant"] = rng.choices(TENANTS, TENANT_WEIGHTS)[0]
    if feature.initiator == "user":
        person["user_hash"] = _user_hash(
            environment, tenant or feature.team, int(_USERS_PER_TENANT * rng.random() ** 2)
        )
    if feature.cost_center:
        person["cost_center"] = feature.cost_center
    if feature.variants:
        person |= {"experiment": f"{feature.name}-tone", "variant": rng.choice(feature.variants)}
    return person


def _user_hash(environment: str, group: str, number: int) -> str:
    return hmac.new(f"demo-salt-{environment}".encode(), f"{group}-{number}".encode(), hashlib.sha256).hexdigest()


def _circumstances(feature: Feature, base: dict, before_end: timedelta) -> Circumstances:
    return Circumstances(
        outage=_covered(stories.OUTAGE, before_end),
        bloated=feature.name == stories.BLOAT_FEATURE and _covered(stories.BLOAT, before_end),
        empty_retrieval=feature.name in stories.RETRIEVAL_FEATURES and _covered(stories.RETRIEVAL, before_end),
        limited=base.get("tenant") == stories.BLEMISH_TENANT and _covered(stories.BLEMISH, before_end),
    )


def _versions(feature: Feature, before_end: timedelta) -> dict:
    prompt = version("prompt", feature.name, before_end)
    found = {
        "release": version("deploy", feature.service, before_end),
        "prompt_version": prompt,
        "prompt_hash": prompt and hashlib.sha256(f"{feature.name}|{prompt}".encode()).hexdigest()[:16],
    }
    return {name: value for name, value in found.items() if value}


def _request(rng: Random, key: str, feature: Feature, person: dict, at_ms: int, window_end: datetime) -> Trace:
    before_end = datetime.fromtimestamp(at_ms / 1000, UTC) - window_end
    how = _circumstances(feature, person, before_end)
    made = Trace(rng=rng, key=key, base=person | _versions(feature, before_end), start_ms=at_ms)
    model = MODELS[rng.choices([name for name, _ in feature.models], [share for _, share in feature.models])[0]]
    if not feature.stages:
        trace.chat(made, feature, model, how, _on_answer(rng, feature, how, found=True), entry=True)
        return made
    entry, started = made.open("invoke_agent" if feature.tools else "gateway")
    outcome = _run_stages(made, feature, model, how, version("retrieval", feature.name, before_end))
    _close(rng, entry, made, started, outcome, feature)
    return made


def _run_stages(made: Trace, feature: Feature, model: Model, how: Circumstances, index: str | None) -> Outcome:
    """Runs the feature's stages in order; the first one that fails ends the request."""
    if feature.name in _ANSWER_CACHE and made.rng.random() < 0.11:
        return Outcome(status="cached")
    found, last = True, Outcome()
    chats_left = feature.stages.count("chat")
    for stage in feature.stages:
        if stage == "retrieval":
            found = not trace.retrieval(made, feature, how, index)
        elif stage == "rerank":
            trace.rerank(made)
        elif stage == "tool":
            trace.tool(made, feature)
        elif stage == "guardrail":
            if not trace.guardrail(made):
                return Outcome("blocked", "content_policy", 200)
        else:
            chats_left -= stage == "chat"
            extra = (
                _on_answer(made.rng, feature, how, found=found) if chats_left == 0 else {"stop_reason": "tool_calls"}
            )
            last = _call(made, stage, feature, model, how, extra, last)
            if last.status == "error":
                return last
    return last


def _call(
    made: Trace, stage: str, feature: Feature, model: Model, how: Circumstances, extra: dict, before: Outcome
) -> Outcome:
    if stage == "embeddings":
        return trace.embeddings(made, feature, how)
    now = trace.chat(made, feature, model, how, extra)
    return before if now.status == "success" and before.status == "fallback" else now


def _on_answer(rng: Random, feature: Feature, how: Circumstances, *, found: bool) -> dict:
    """Quality signs of the answer itself: refusals, citations, schema, length."""
    fields: dict = {}
    if feature.structured:
        fields["schema_valid"] = rng.random() >= 0.012
    else:
        fields["refused"] = rng.random() < (0.14 if not found else 0.021 if how.bloated else 0.009)
    if "retrieval" in feature.stages:
        fields["context_tokens"] = round(feature.input_tokens * 0.55) if found else 0
        fields["citations"] = 0 if not found or how.empty_retrieval else max(0, round(rng.gauss(2.6, 1.2)))
    if rng.random() < 0.006:
        fields["stop_reason"] = "length"
    return fields


def _close(rng: Random, entry: dict, made: Trace, started: int, outcome: Outcome, feature: Feature) -> None:
    """Ends the request: its latency spans all stages, its status is what the user met."""
    entry["latency_ms"] = made.clock - started + rng.randint(2, 9)
    made.clock = started + entry["latency_ms"]
    if feature.name in _ANSWER_CACHE:
        entry["cache_hit"] = outcome.status == "cached"
    if feature.name in _HANDS_OVER:
        entry["escalated"] = _handed_over(made, feature)
    if outcome.status in ("error", "blocked"):
        entry |= {"status": outcome.status, "error_type": outcome.error_type}
        entry["http_status"] = {"rate_limit": 429, "content_policy": 200}.get(outcome.error_type, 502)
        return
    entry["http_status"] = 200
    if outcome.status == "fallback":
        entry |= {"status": "fallback", "fallback_from": outcome.fallback_from}
    if feature.streaming and rng.random() < 0.007:
        entry |= {"status": "cancelled", "error_type": "cancelled", "http_status": 499}
    elif feature.initiator == "user" and rng.random() < _FEEDBACK_SHARE:
        entry["feedback"] = "up" if rng.random() < 0.81 else "down"


def _handed_over(made: Trace, feature: Feature) -> bool:
    """Whether the user asked for a person: more often where a stage failed, found nothing or refused."""
    usual, badly = _HANDS_OVER[feature.name]
    bad = any(
        event["status"] in ("error", "blocked") or event.get("refused") or event.get("documents") == 0
        for event in made.events
    )
    # A stream of its own: what is drawn here changes nothing else of the demo.
    return Random(f"{made.key}|hand-over").random() < (badly if bad else usual)  # noqa: S311 -- repeatable on purpose
