"""A budget as plain facts: what history, approval, undo, CSV and the API carry around, and how it is checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError

from accounts.models import Team, User
from budgets.models import Budget, Threshold
from budgets.rules.thresholds import Step, ordered
from usage.models.scopes import SCOPE_FIELDS

ANCHORS = {"hour": 1, "day": 1, "week": 7, "month": 28, "quarter": 3}
MAX_THRESHOLDS = 12
# Facts that decide what is counted, and over which time: limits with other ones cannot be compared.
WHAT_IS_COUNTED = ("team", *SCOPE_FIELDS, "period", "time_zone", "anchor", "unit")


@dataclass(frozen=True)
class Draft:
    """A checked budget that is not stored."""

    name: str
    team: Team | None
    feature: str
    tenant: str
    environment: str
    user_hash: str
    provider: str
    model: str
    cost_center: str
    period: str
    time_zone: str
    anchor: int
    unit: str
    limit: Decimal
    enforcement: str
    on_failure: str
    rollover_share: Decimal
    approval_share: Decimal
    owner: User | None
    note: str
    thresholds: tuple[Step, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON: numbers as text, team by slug, owner by e-mail."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        found |= {name: plain(found[name]) for name in ("limit", "rollover_share", "approval_share")}
        found["team"] = self.team.slug if self.team else ""
        found["owner"] = self.owner.email if self.owner else ""
        found["thresholds"] = [_as_fact(step) for step in self.thresholds]
        return found

    def put_into(self, budget: Budget) -> None:
        """Sets every column of the budget; thresholds are rows of their own."""
        for field in fields(self):
            if field.name != "thresholds":
                setattr(budget, field.name, getattr(self, field.name))


FACT_NAMES = tuple(field.name for field in fields(Draft))
DEFAULTS: dict[str, Any] = {
    "period": "month",
    "time_zone": "UTC",
    "anchor": "1",
    "unit": "usd",
    "enforcement": "soft",
    "on_failure": "open",
    "rollover_share": "0",
    "approval_share": "0.2",
    "thresholds": [{"percent": percent, "action": "notify"} for percent in ("70", "85", "100")],
}


def _as_fact(step: Step) -> dict[str, str]:
    fact = {"percent": plain(step.percent), "action": step.action}
    return fact | ({"before": plain(step.before)} if step.before is not None else {})


def plain(number: Decimal) -> str:
    """12.50 as "12.5", without an exponent."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def facts_of(budget: Budget) -> dict[str, Any]:
    """The facts of a stored budget."""
    return draft_of(budget).facts


def draft_of(budget: Budget) -> Draft:
    values = {name: getattr(budget, name) for name in FACT_NAMES if name != "thresholds"}
    return Draft(**values, thresholds=ordered(row.step for row in budget.thresholds.all()))


def check(raw: Mapping[str, Any], *, teams: Iterable[Team], owners: Iterable[User] | None = None) -> Draft:
    """Facts as people or programs give them → Draft; what is absent has its default.

    `teams` are those that may be named. Raises ValidationError by field, each message with what would be right.
    """
    given = DEFAULTS | {name: value for name, value in raw.items() if value is not None}
    reader = _Reader(given, {team.slug: team for team in teams}, owners)
    if unknown := sorted(set(raw) - set(FACT_NAMES)):
        reader.problems[unknown[0]] = f"There is no such field. Known: {', '.join(FACT_NAMES)}."
    draft = reader.draft()
    if reader.problems:
        raise ValidationError(reader.problems)
    return draft


class _Reader:
    """Reads fact by fact and collects one problem for each."""

    def __init__(self, given: Mapping[str, Any], teams: dict[str, Team], owners: Iterable[User] | None) -> None:
        self.given, self.teams, self.owners = given, teams, owners
        self.problems: dict[str, str] = {}

    def draft(self) -> Draft:
        period = self.choice("period", Budget.Period.values)
        return Draft(
            name=self.text("name", 100, required=True),
            team=self.team(),
            **{name: self.text(name, _longest(name)) for name in SCOPE_FIELDS},
            period=period,
            time_zone=self.zone(),
            anchor=self.anchor(period),
            unit=self.choice("unit", Budget.Unit.values),
            limit=self.limit(),
            enforcement=self.choice("enforcement", Budget.Enforcement.values),
            on_failure=self.choice("on_failure", Budget.OnFailure.values),
            rollover_share=self.number("rollover_share", 0, 1, 4),
            approval_share=self.number("approval_share", 0, 10, 4),
            owner=self.owner(),
            note=self.text("note", 500),
            thresholds=self.thresholds(),
        )

    def text(self, name: str, longest: int, *, required: bool = False) -> str:
        value = self.given.get(name, "")
        value = value.strip() if isinstance(value, str) else value
        if not isinstance(value, str) or "\0" in value or (name == "name" and not value.isprintable()):
            self.problems[name] = "This must be text without control characters."
        elif required and not value:
            self.problems[name] = "Give it a name, e.g. “Support, monthly”."
        elif len(value) > longest:
            self.problems[name] = f"This has {len(value)} characters; the most is {longest}."
        return value if name not in self.problems else ""

    def choice(self, name: str, known: list[str]) -> str:
        value = self.given.get(name)
        if value not in known:
            self.problems[name] = f"This must be one of {', '.join(known)}."
            return known[0]
        return str(value)

    def number(self, name: str, least: int, most: int, places: int) -> Decimal:
        value = decimal_of(self.given.get(name))
        if value is None or not least <= value <= most:
            self.problems[name] = f"This must be a number from {least} to {most}, e.g. 0.2."
            return Decimal(least)
        if value != round(value, places):
            self.problems[name] = f"At most {places} places behind the point are kept."
        return value

    def limit(self) -> Decimal:
        value = decimal_of(self.given.get("limit"))
        if value is None or not 0 < value < Decimal(10) ** 15:
            self.problems["limit"] = "This must be a number above 0 and below 10^15, e.g. 2500 or 0.75."
            return Decimal(1)
        if value != round(value, 12):
            self.problems["limit"] = "At most 12 places behind the point are kept."
        if self.given.get("unit") in ("tokens", "requests") and value != value.to_integral_value():
            self.problems["limit"] = "Tokens and requests are whole numbers."
        return value

    def anchor(self, period: str) -> int:
        text, most = str(self.given.get("anchor", 1)).strip(), ANCHORS[period]
        if not (text.isascii() and text.isdigit() and len(text) < 3 and 1 <= int(text) <= most):
            right = "1" if most == 1 else f"from 1 to {most}"
            self.problems["anchor"] = f"For a period of one {period} this must be {right}."
            return 1
        return int(text)

    def zone(self) -> str:
        value = self.text("time_zone", 64)
        if value not in available_timezones():
            self.problems["time_zone"] = "This must be a zone of the IANA list, e.g. Europe/Berlin or UTC."
        return value

    def team(self) -> Team | None:
        slug = self.text("team", 50)
        if slug and slug not in self.teams:
            self.problems["team"] = f"There is no team “{slug}” whose budgets you may edit."
        return self.teams.get(slug)

    def owner(self) -> User | None:
        email = self.text("owner", 254).lower()
        if not email:
            return None
        known = self.owners if self.owners is not None else User.objects.filter(email=email, is_active=True)
        found = next((user for user in known if user.email == email), None)
        if not found:
            self.problems["owner"] = f"Nobody here has the address {email}."
        return found

    def thresholds(self) -> tuple[Step, ...]:
        rows = self.given.get("thresholds")
        if not isinstance(rows, list) or len(rows) > MAX_THRESHOLDS:
            self.problems["thresholds"] = f"This must be a list of at most {MAX_THRESHOLDS} {{percent, action}}."
            return ()
        found = [step for row in rows if (step := self.step(row if isinstance(row, Mapping) else {}))]
        if len(set(found)) < len(found):
            self.problems["thresholds"] = "The same percent and action stand here twice."
        return ordered(found)

    def step(self, row: Mapping[str, Any]) -> Step | None:
        percent, action, early = decimal_of(row.get("percent")), row.get("action"), row.get("before")
        before = decimal_of(early) if early else None
        if percent is None or not 0 < percent <= 1000 or percent != round(percent, 2):
            self.problems["thresholds"] = "Each percent must be above 0 and up to 1000, with two places at most."
        elif action not in Threshold.Action.values:
            self.problems["thresholds"] = f"Each action must be one of {', '.join(Threshold.Action.values)}."
        elif early and (before is None or not 0 < before < 100 or before != round(before, 2)):
            self.problems["thresholds"] = "After < stands a percent of the period between 0 and 100: 60<33."
        else:
            return Step(percent, str(action), before)
        return None


def _longest(name: str) -> int:
    return getattr(Budget._meta.get_field(name), "max_length", 0)


def decimal_of(value: object) -> Decimal | None:
    """A finite plain decimal number given as text, int or Decimal; None for anything else ("1_0", "١", NaN, floats)."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    text = str(value).strip()
    if not text.isascii() or "_" in text or len(text) > 40:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
