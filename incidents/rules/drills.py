"""The scenarios of drills, as data, and the score."""

from dataclasses import dataclass, field
from datetime import timedelta

MOMENTS = ("detected", "acknowledged", "classified", "mitigated")

# What is good, per moment, after the fault began (the quality playbook: assess in 5 minutes, mitigate in 15).
GOALS = {
    "detected": timedelta(minutes=5),
    "acknowledged": timedelta(minutes=8),
    "classified": timedelta(minutes=10),
    "mitigated": timedelta(minutes=15),
}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the simulated calls. Factors of 1 and shares of None change nothing.

    `provider`, `feature`: the calls it touches, '' for all. `kinds`: (weight, error type, HTTP status, ms waited).
    """

    provider: str = ""
    feature: str = ""
    fails: float = 0.0
    kinds: tuple[tuple[float, str, int | None, int], ...] = ()
    latency_factor: float = 1.0
    rounds: int = 1
    token_factor: float = 1.0
    empty: float | None = None
    refused: float | None = None
    schema_invalid: float | None = None
    traffic_factor: float = 1.0
    prompt_version: str = ""

    def touches(self, feature: str, provider: str) -> bool:
        return self.feature in ("", feature) and self.provider in ("", provider)


@dataclass(frozen=True)
class Scenario:
    """One rehearsal. `truth` is the failure mode to be found; `cards` are what a tabletop reads out, by minute."""

    key: str
    title: str
    truth: str
    runbook: str
    fault: Fault
    hit: dict[str, str] = field(default_factory=dict)
    fits: str = ""
    cards: tuple[tuple[int, str], ...] = ()


SCENARIOS: dict[str, Scenario] = {
    one.key: one
    for one in (
        Scenario(
            "provider-outage",
            "A provider answers most calls with 5xx or not at all",
            "provider",
            "provider-outage",
            Fault(
                provider="openai",
                fails=0.75,
                kinds=(
                    (0.55, "provider_5xx", 503, 1_400),
                    (0.3, "timeout", None, 20_000),
                    (0.15, "rate_limit", 429, 240),
                ),
            ),
            {"provider": "openai"},
            "Failover to the other provider, or a circuit breaker on the failing one.",
            (
                (0, "Error rate high fires for one feature; the other feature is well."),
                (2, "Support says that customers see “try again later”. The provider's status page is green."),
                (5, "The errors are 503 and time-outs; latency of the calls that succeed is unchanged."),
                (9, "A product manager asks whether to switch the feature off altogether."),
                (14, "The provider's status page turns amber: elevated errors, no estimate."),
            ),
        ),
        Scenario(
            "latency",
            "One provider answers right, but four times slower",
            "provider",
            "latency",
            Fault(provider="openai", latency_factor=4.0),
            {"provider": "openai"},
            "Failover to the other provider, or conserve mode with a faster model.",
            (
                (0, "p95 latency alert: critical. No errors."),
                (3, "Users of the chat give up half way; nobody else complains."),
                (6, "Queue wait is normal; time to first token has quadrupled at one provider."),
                (10, "Time-outs begin at the gateway, which waits for 30 seconds."),
            ),
        ),
        Scenario(
            "token-loop",
            "An agent calls its model again and again",
            "cost",
            "cost-spike",
            Fault(feature="drill-agent", rounds=9, token_factor=1.8),
            {"feature": "drill-agent"},
            "Kill switch on the tool or the feature, or emergency mode for it.",
            (
                (0, "Cost per request is four times what it was; success rate is unchanged."),
                (3, "Tokens per minute are at 70 % of the provider's limit."),
                (6, "All of it is one agent; its tool returns the same result each time."),
                (10, "At this rate the month's budget is gone in two days."),
            ),
        ),
        Scenario(
            "empty-retrieval",
            "The index answers with nothing",
            "retrieval",
            "retrieval-degradation",
            Fault(feature="drill-assistant", empty=0.85),
            {"feature": "drill-assistant"},
            "Emergency mode with a clear fallback answer, or a kill switch on the feature.",
            (
                (0, "Empty retrieval at 85 %. Model latency and error rate are normal."),
                (3, "Answers come without citations; thumbs-down has tripled."),
                (6, "The index was rebuilt 20 minutes ago."),
                (10, "The old index is still there."),
            ),
        ),
        Scenario(
            "quality-drop",
            "A new prompt version refuses, and answers in the wrong format",
            "prompt",
            "prompt-regression",
            Fault(feature="drill-assistant", refused=0.3, schema_invalid=0.25, prompt_version="drill-v2"),
            {"feature": "drill-assistant", "prompt_version": "drill-v2"},
            "Roll the prompt back; until then a kill switch on the feature or another model.",
            (
                (0, "Refusals doubled, schema validity fell to three quarters. All calls answer 200."),
                (4, "Only one feature; a prompt version went live just before."),
                (8, "The author of the prompt is on a plane."),
            ),
        ),
        Scenario(
            "budget-burn",
            "A batch job sends ten times the usual traffic",
            "cost",
            "cost-spike",
            Fault(feature="drill-agent", traffic_factor=10.0),
            {"feature": "drill-agent"},
            "Throttle the batch class, or conserve mode for the feature.",
            (
                (0, "Spend of this hour is more than twice the usual."),
                (3, "Tokens per request are unchanged: it is volume. One feature, initiator system."),
                (7, "The team that owns the job says it must finish tonight."),
            ),
        ),
    )
}


def is_right(scenario: str, classified_as: str) -> bool | None:
    """Whether the failure mode people decided on is the one that was injected; None while they have not."""
    return classified_as == SCENARIOS[scenario].truth if classified_as else None


def score(took: dict[str, timedelta | None], right: bool | None) -> int:
    """0 to 100: 25 for each moment, all of it within its goal, half within twice the goal, none later or never.

    A wrong classification gets nothing for it.
    """
    points = 0.0
    for moment, goal in GOALS.items():
        length = took.get(moment)
        if length is None or (moment == "classified" and not right):
            continue
        points += 25 if length <= goal else 12.5 if length <= 2 * goal else 0
    return round(points)
