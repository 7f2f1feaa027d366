"""What if: scenarios of a forecast. Pure; figures are floats, as the forecast's are."""

from collections.abc import Sequence
from dataclasses import dataclass

from budgets.rules.outlook import Band, Exhausted, OutlookDay, Scenario, exhausted

SCENARIOS = (
    Scenario("baseline", "Baseline"),
    Scenario("growth", "Growth", traffic=1.2),
    Scenario("risk", "Risk", traffic=1.2, unit_cost=1.15),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A scenario at the end of the period: the total, its share of the limit, and when that is used up."""

    scenario: Scenario
    total: Band
    share: float | None
    exhausted: Exhausted | None


def outcomes(
    days: Sequence[OutlookDay],
    spent: float,
    limit: float | None,
    own: Scenario | None = None,
    by_cost: bool = True,
) -> list[Outcome]:
    """Each scenario, the viewer's own last. Not `by_cost`: calls or tokens are counted, unit cost changes nothing."""
    return [_outcome(one, days, spent, limit, by_cost) for one in (*SCENARIOS, *([own] if own else []))]


def _outcome(
    scenario: Scenario, days: Sequence[OutlookDay], spent: float, limit: float | None, by_cost: bool
) -> Outcome:
    factor = scenario.factor if by_cost else scenario.traffic
    total = days[-1].total.scaled(factor, spent)
    share = total.expected / limit if limit else None
    return Outcome(scenario, total, share, exhausted(days, spent, limit, factor) if limit else None)


def says(scenario: Scenario) -> str:
    """The scenario in words: "traffic +20 %, unit cost +15 %"."""
    parts = [
        f"{name} {'+' if factor > 1 else '−'}{abs(round((factor - 1) * 100))} %"
        for name, factor in (("traffic", scenario.traffic), ("unit cost", scenario.unit_cost))
        if factor != 1
    ]
    return ", ".join(parts) or "as it has been"
