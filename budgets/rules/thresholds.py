"""When a threshold of a budget is reached, and when what it did is taken back. Pure."""

from decimal import Decimal
from typing import NamedTuple

# What was entered at 85 % is left below 83 %: a correction of a few cents must not flap it.
MARGIN = Decimal(2)
DENY = "deny"


class Step(NamedTuple):
    """`action` at `percent` of the budget; with `before`, a burn rate: only while less than this percent of the
    period is over."""

    percent: Decimal
    action: str
    before: Decimal | None = None

    @property
    def key(self) -> str:
        """Names the step within its budget: 85:conserve, 60<33:notify."""
        early = f"<{self.before.normalize():f}" if self.before is not None else ""
        return f"{self.percent.normalize():f}{early}:{self.action}"

    @property
    def words(self) -> str:
        """E.g. "85 %", "60 % before 33 % of the period"."""
        early = f" before {self.before.normalize():f} % of the period" if self.before is not None else ""
        return f"{self.percent.normalize():f} %{early}"


def ordered(steps) -> tuple[Step, ...]:
    return tuple(sorted(steps, key=lambda step: (step.percent, step.action, step.before or 0)))


def reached(step: Step, share: Decimal, elapsed: float, *, entered: bool = False) -> bool:
    """Whether a step holds at so much of the budget (1 is all) and of the period; easier where it was entered."""
    floor = step.percent - (MARGIN if entered else 0)
    early = step.before is None or elapsed * 100 < step.before
    return share * 100 >= floor and early


def severity_of(step: Step) -> tuple[str, str]:
    """(severity, route) of the alert of a step: 100 % and what blocks page, 85 % and what degrades is a ticket."""
    if step.percent >= 100 or step.action == "block":
        return "critical", "page"
    if step.percent >= 85 or step.action != "notify" or step.before is not None:
        return "warning", "ticket"
    return "info", "report"


def steps_in_force(steps, enforcement: str) -> tuple[Step, ...]:
    """The steps, with the deny at 100 % that a hard limit is."""
    hard = [Step(Decimal(100), DENY)] if enforcement == "hard" else []
    return ordered([*steps, *hard])
