"""Failure modes ranked: each is a row of signs with weights, so that a score is a sum anybody can check.

A sign of a mode's *core* must be there: what helps counts by the root of how far the strongest of them holds, so that a
change which fits lifts a faint signal and makes none out of nothing. What speaks against counts in full.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

from incidents.models import FailureMode
from incidents.rules.triage.picture import telling
from incidents.rules.triage.signs import Case, Sign, signs

# From these scores on the first mode is called likely, or clear if it also leads by so much.
CLEAR, CLEAR_LEAD, LIKELY = 3.0, 1.0, 1.5
ABSENT = -1.0  # what a mode's score has against it where none of its core is there
LEAST = 0.05  # points below which evidence is not shown


@dataclass(frozen=True)
class Profile:
    """How a mode shows. core and helps: sign → points in full; against: sign → points taken.

    leads: the signals whose blast radius is the mode's, most telling first.
    """

    mode: FailureMode
    core: dict[str, float]
    helps: dict[str, float]
    against: dict[str, float]
    leads: tuple[str, ...]


PROFILES = (
    Profile(
        FailureMode.PROVIDER,
        core={"calls_fail": 4.0, "slow": 2.0},
        helps={"provider_kinds": 2.0, "one_provider": 1.5, "fallbacks": 1.0, "retries": 0.5, "unchanged": 1.0},
        against={"limit_kinds": 2.0, "own_kinds": 2.0, "app_changed": 0.5, "model_changed": 1.0},
        leads=("calls_fail", "slow"),
    ),
    Profile(
        FailureMode.RATE_LIMIT,
        core={"limited": 4.0},
        helps={"limit_kinds": 2.5, "quota": 1.5, "retries": 0.5, "unchanged": 0.5},
        against={"provider_kinds": 4.0},
        leads=("limited",),
    ),
    Profile(
        FailureMode.RETRIEVAL,
        core={"empty": 4.0, "weak": 2.5},
        helps={"uncited": 2.0, "index_changed": 1.5, "turns": 1.0, "refused": 0.5, "models_well": 1.0},
        against={"calls_fail": 1.5, "prompt_changed": 0.5},
        leads=("empty", "weak", "uncited"),
    ),
    Profile(
        FailureMode.PROMPT,
        core={"tokens": 3.0, "refused": 2.0, "invalid": 2.0, "policy": 1.5, "uncited": 1.0},
        helps={"prompt_changed": 3.0, "new_prompt": 1.5, "models_well": 0.5, "retrieval_well": 0.5},
        against={"calls_fail": 1.0, "empty": 2.0, "model_changed": 1.0},
        leads=("tokens", "refused", "invalid", "policy", "uncited"),
    ),
    Profile(
        FailureMode.MODEL,
        core={"tokens": 1.5, "slow": 1.5, "refused": 1.5, "invalid": 1.5, "uncited": 0.5},
        helps={"model_changed": 3.0, "new_model": 3.0, "retrieval_well": 0.5},
        against={"prompt_changed": 2.0, "new_prompt": 0.5, "calls_fail": 1.0, "empty": 1.5},
        leads=("tokens", "slow", "refused", "invalid"),
    ),
    Profile(
        FailureMode.TOOL,
        core={"tools": 4.0},
        helps={"models_well": 1.0, "app_changed": 1.0, "requests_fail": 0.5, "turns": 0.5},
        against={"calls_fail": 1.0},
        leads=("tools",),
    ),
    Profile(
        FailureMode.SAFETY,
        core={"policy": 4.0, "blocked": 2.5},
        helps={"refused": 0.5, "policy_changed": 1.0, "unchanged": 0.5},
        against={"prompt_changed": 2.0, "calls_fail": 1.0},
        leads=("policy", "blocked"),
    ),
    Profile(
        FailureMode.COST,
        core={"spend": 3.0, "storm": 4.0, "tokens": 1.5},
        helps={"retries": 1.0, "turns": 0.5, "unchanged": 0.5},
        against={"prompt_changed": 2.0, "new_prompt": 1.0, "model_changed": 1.0, "calls_fail": 1.0},
        leads=("tokens", "retries"),
    ),
    Profile(
        FailureMode.DATA_DRIFT,
        core={"weak": 2.0, "uncited": 1.5, "refused": 1.0, "tokens": 0.5},
        helps={"unchanged": 1.5, "models_well": 0.5},
        against={"empty": 3.0, "index_changed": 2.0, "prompt_changed": 2.0, "calls_fail": 1.5, "new_prompt": 1.0},
        leads=("weak", "uncited", "refused"),
    ),
    Profile(
        FailureMode.APPLICATION,
        core={"entries_only": 3.5, "own_kinds": 3.0, "requests_fail": 1.0},
        helps={"app_changed": 3.0, "new_release": 1.5},
        against={"provider_kinds": 2.0, "limit_kinds": 2.0, "empty": 1.0},
        leads=("requests_fail", "calls_fail"),
    ),
)
BY_MODE = {profile.mode: profile for profile in PROFILES}


@dataclass(frozen=True)
class Evidence:
    """A sign and what it adds to a mode's score."""

    sign: Sign
    points: float
    core: bool


@dataclass(frozen=True)
class Ranked:
    """A failure mode with its evidence, for and against; `score` is the sum of the points."""

    mode: FailureMode
    evidence: list[Evidence]
    lead: str  # the signal of its blast radius; "" where none of its own moved

    @property
    def score(self) -> float:
        return sum(one.points for one in self.evidence)

    @property
    def supporting(self) -> list[Evidence]:
        return [one for one in self.evidence if one.points >= LEAST]

    @property
    def opposing(self) -> list[Evidence]:
        return [one for one in self.evidence if one.points <= -LEAST]


def rank(case: Case) -> list[Ranked]:
    """Every failure mode but "other", the best supported first; equals in the order of FailureMode."""
    known = signs(case)
    ranked = [_ranked(profile, known, case) for profile in PROFILES]
    return sorted(ranked, key=lambda one: -round(one.score, 6))


def _ranked(profile: Profile, known: dict[str, Sign], case: Case) -> Ranked:
    core = [Evidence(known[name], points * known[name].strength, True) for name, points in profile.core.items()]
    held = max(known[name].strength for name in profile.core)
    gate = sqrt(held)
    helps = [Evidence(known[n], points * known[n].strength * gate, False) for n, points in profile.helps.items()]
    against = [Evidence(known[n], -points * known[n].strength, False) for n, points in profile.against.items()]
    if not held:
        first = next((known[name] for name in profile.core if known[name].known), known[next(iter(profile.core))])
        against.append(Evidence(first, ABSENT, True))
    found = sorted([*core, *helps, *against], key=lambda one: -abs(one.points))
    return Ranked(profile.mode, [one for one in found if abs(one.points) >= LEAST], _lead(profile, case))


def _lead(profile: Profile, case: Case) -> str:
    return telling(case.moves, profile.leads)


def confidence(ranked: list[Ranked]) -> Literal["clear", "likely", "none"]:
    """How far the first mode may be said."""
    first, second = ranked[0].score, ranked[1].score
    if first >= CLEAR and first - second >= CLEAR_LEAD:
        return "clear"
    return "likely" if first >= LIKELY else "none"
