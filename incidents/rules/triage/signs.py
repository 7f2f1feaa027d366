"""Signs: sentences with numbers that speak for or against failure modes, each with a strength of 0 to 1."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from math import log, sqrt

from aiops_site import formats
from incidents.rules.triage.picture import Move, Picture, Recent
from incidents.rules.triage.radius import Newcomer, Radius
from incidents.rules.triage.signals import BY_NAME, SURE_AT, SURE_FROM, Reading, Signal, between

PROVIDER_KINDS = frozenset({"provider_5xx", "timeout", "network"})
OWN_KINDS = frozenset({"provider_4xx", "auth", "context_length", "schema_invalid"})
LIMIT_KINDS = frozenset({"rate_limit"})
FEW = 3  # of fewer failures no kind can be said
QUOTA_FROM = Decimal("0.7")
SPEND_FROM, SPEND_FULL = 1.4, 2.5  # times the usual spend by hour
SPEND_SCATTER = 2.5  # standard deviation of the logarithm of the cost of single calls of all features


@dataclass(frozen=True)
class Link:
    """Where the numbers can be seen: a page (events, explain, changes) and its filters."""

    page: str
    filters: dict[str, str] = field(default_factory=dict)
    metric: str = ""


@dataclass(frozen=True)
class Sign:
    """strength: how far it holds, 0 to 1; text says the numbers whether it holds or not. known: has figures at all."""

    name: str
    text: str
    strength: float
    link: Link | None = None
    known: bool = True


@dataclass(frozen=True)
class Case:
    """What the signs are read from. radius: of the leading signal, if any moved."""

    picture: Picture
    moves: dict[str, Move]
    radius: Radius | None
    recent: list[Recent]

    def strength(self, *names: str) -> float:
        return max((self.moves[name].strength for name in names if name in self.moves), default=0.0)


def signs(case: Case) -> dict[str, Sign]:
    """Every sign by name."""
    found = [*(_of_signal(case, signal) for signal in BY_NAME.values()), *(make(case) for make in MADE)]
    return {sign.name: sign for sign in found}


# --- Signals as they are --------------------------------------------------------------------------------------------
def _of_signal(case: Case, signal: Signal) -> Sign:
    move = case.moves.get(signal.name)
    if move is None:
        return Sign(signal.name, f"{signal.label}: nothing was recorded", 0.0, known=False)
    place = move.place_in(case.radius.values if case.radius else {})
    where = {} if place.is_all else {place.dimension: place.value}
    link = Link("explain", where, signal.explained) if signal.explained else Link("events", where)
    if signal.evidence:
        link = Link("events", where | signal.evidence)
    if not move.strength:
        return Sign(signal.name, f"{told(signal, move.overall)}: no more than by chance", 0.0, link)
    prefix = "" if place.is_all else f"{words(place.dimension).capitalize()} {place.value}: "
    return Sign(signal.name, f"{prefix}{told(signal, place.reading)}", move.strength, link)


def told(signal: Signal, reading: Reading) -> str:
    """ "38 % of 47 model calls fail, usually 0.6 %"."""
    rate = formats.figure(reading.rate, signal.unit)
    noun = f"{signal.unit} " if signal.kind == "amount" else ""
    text = f"{rate} {noun}{signal.says.format(count=formats.exact(reading.base))}"
    return f"{text}, usually {formats.figure(reading.usual, signal.unit)}" if reading.usual is not None else text


def words(dimension: str) -> str:
    return dimension.replace("_", " ")


# --- Signs made of several ------------------------------------------------------------------------------------------
def _kinds(name: str, kinds: frozenset[str], says: str) -> Callable[[Case], Sign]:
    def make(case: Case) -> Sign:
        failed = sum(case.picture.failures.calls.values())
        if failed < FEW:
            return Sign(name, f"{formats.counted(failed, 'failed model calls')}: too few to tell their kind", 0.0)
        share = case.picture.failures.share(kinds)
        moved = between(2 * case.strength("calls_fail", "limited"))
        text = f"{formats.percent(share)} of {formats.exact(failed)} failed model calls {says}"
        return Sign(name, text, share * moved, Link("events", {"status": "error"}))

    return make


def _one_provider(case: Case) -> Sign:
    """Whether calls fail at one provider while the others answer as ever."""
    table, signal = case.picture.table, BY_NAME["calls_fail"]
    read = {value: table.reading(signal, places) for value, places in table.by_dimension.get("provider", {}).items()}
    read = {name: reading for name, reading in read.items() if reading.base >= FEW}
    if len(read) < 2:
        return Sign("one_provider", "Only one provider was called: nothing to compare it with", 0.0, known=False)
    worst = max(read, key=lambda name: (read[name].rate or 0.0, name))
    others = [reading for name, reading in read.items() if name != worst]
    bad, base = sum(one.bad for one in others), sum(one.base for one in others)
    rate, rest = read[worst].rate or 0.0, bad / base
    moved = between(2 * case.strength("calls_fail"))
    theirs = f"all others together {formats.percent(rest)} of {formats.exact(base)}"
    text = f"{worst} fails {formats.percent(rate)} of its calls, {theirs}"
    return Sign(
        "one_provider", text, between(1 - 2 * rest / rate) * moved if rate else 0.0, Link("events", {"provider": worst})
    )


def _models_well(case: Case) -> Sign:
    """Model calls neither fail nor are slow: then it is not the provider."""
    fail, slow = case.moves.get("calls_fail"), case.moves.get("slow")
    if not fail:
        return Sign("models_well", "No model was called", 0.0, known=False)
    parts = [told(one.signal, one.overall) for one in (fail, slow) if one]
    holds = 1 - between(2 * case.strength("calls_fail", "slow"))
    return Sign("models_well", f"Models answer: {'; '.join(parts)}", holds, Link("explain", {}, "call_latency"))


def _quota(case: Case) -> Sign:
    quota = case.picture.quota
    if not quota:
        return Sign("quota", "No provider's limit is recorded, so its use is unknown", 0.0, known=False)
    provider, use = max(quota.items(), key=lambda pair: pair[1])
    text = f"The busiest minute used {formats.percent(use)} of the limit at {provider}"
    return Sign("quota", text, between(float((use - QUOTA_FROM) / (1 - QUOTA_FROM))))


def _spend(case: Case) -> Sign:
    now, usual = case.picture.impact.cost_per_hour, case.picture.impact.usual_cost_per_hour
    if not now or not usual:
        return Sign("spend", "Spend by hour has nothing to be compared with", 0.0, known=False)
    times = float(now / usual)
    # Costs of calls scatter widely, so a few dear ones are no runaway.
    sure = between(
        (log(times) * sqrt(case.picture.table.sum("calls")) / SPEND_SCATTER - SURE_FROM) / (SURE_AT - SURE_FROM)
    )
    text = f"Spend runs at {formats.money(now)} an hour, {times:.1f} times the usual {formats.money(usual)}"
    large = between((times - SPEND_FROM) / (SPEND_FULL - SPEND_FROM))
    return Sign("spend", text, min(large, sure), Link("explain", {}, "spend"))


def _storm(case: Case) -> Sign:
    """A retry storm: retries and tokens up, success flat."""
    table, scale = case.picture.table, case.picture.baseline.length.total_seconds() / 3600 / case.picture.hours
    done, usual = table.sum("successes"), table.sum("successes", "usual") / (scale or 1)
    used, usual_used = table.sum("total_tokens"), table.sum("total_tokens", "usual") / (scale or 1)
    if not usual or not usual_used:
        return Sign("storm", "Retries have nothing to be compared with", 0.0, known=False)
    growth = used / usual_used - (done / usual if done else 0.0)
    text = f"Tokens ×{used / usual_used:.1f} with ×{done / usual:.1f} successful requests against the usual hour"
    return Sign("storm", text, min(case.strength("retries"), between(growth - 0.2)), Link("explain", {}, "tokens"))


def _entries_only(case: Case) -> Sign:
    """Requests fail although model calls, tools and retrieval do not: the application itself."""
    strength = case.strength("requests_fail") * (1 - between(2 * case.strength("calls_fail", "tools", "empty")))
    reading = case.picture.reading("requests_fail")
    return Sign("entries_only", f"{told(BY_NAME['requests_fail'], reading)}, while the stages below answer", strength)


def _changed(name: str, kinds: tuple[str, ...], noun: str) -> Callable[[Case], Sign]:
    def make(case: Case) -> Sign:
        found = [one for one in case.recent if one.kind in kinds]
        if not found:
            return Sign(name, f"No {noun} was recorded near the onset", 0.0, Link("changes"))
        best = max(found, key=lambda one: one.strength)
        return Sign(name, f"“{best.title}” {best.why}", best.strength, Link("changes"))

    return make


def _unchanged(case: Case) -> Sign:
    best = max(case.recent, key=lambda one: one.strength, default=None)
    if best is None or best.strength < 0.25:
        return Sign(
            "unchanged",
            "No change of ours that speaks of this traffic was recorded near the onset",
            1.0,
            Link("changes"),
        )
    return Sign(
        "unchanged",
        f"A change of ours lies near: “{best.title}” {best.why}",
        between(1 - 2 * best.strength),
        Link("changes"),
    )


def _new(name: str, dimension: str) -> Callable[[Case], Sign]:
    def make(case: Case) -> Sign:
        found = [one for one in (case.radius.new if case.radius else []) if one.dimension == dimension]
        if dimension == "model" and case.strength("fallbacks") > 0:
            found = []  # who stands in for a provider is not a change of model
        if not found:
            return Sign(name, f"No new {words(dimension)} in the traffic that is hit", 0.0)
        return Sign(name, _newcomer(found[0]), 1.0, Link("explain", {}, "tokens"))

    return make


def _newcomer(new: Newcomer) -> str:
    instead = f", before it {new.instead}" if new.instead else ""
    return f"{words(new.dimension).capitalize()} {new.value} is new in this traffic{instead}"


def _retrieval_well(case: Case) -> Sign:
    holds = 1 - between(2 * case.strength("empty", "weak"))
    move = case.moves.get("empty")
    text = told(move.signal, move.overall) if move else "No retrieval says how much it found"
    return Sign("retrieval_well", text, holds if move else 0.0, known=bool(move))


MADE = (
    _kinds("provider_kinds", PROVIDER_KINDS, "are the provider's: 5xx, time-outs, network"),
    _kinds("own_kinds", OWN_KINDS, "refuse what we sent: 4xx, access, length, schema"),
    _kinds("limit_kinds", LIMIT_KINDS, "are 429s"),
    _one_provider,
    _models_well,
    _quota,
    _spend,
    _storm,
    _entries_only,
    _changed("prompt_changed", ("prompt",), "change of a prompt"),
    _changed("model_changed", ("model", "routing"), "change of model or routing"),
    _changed("index_changed", ("retrieval",), "change of retrieval"),
    _changed("app_changed", ("deploy", "flag"), "deploy or flag"),
    _changed("policy_changed", ("policy",), "change of policy"),
    _unchanged,
    _new("new_prompt", "prompt_version"),
    _new("new_release", "release"),
    _new("new_model", "model"),
    _retrieval_well,
)
