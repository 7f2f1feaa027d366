"""Asking the guard in tests: a budget, a key, and requests over HTTP or straight to the domain."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from accounts.models import ApiKey, Team
from budgets.guard.answers import answer
from budgets.guard.decide import decide
from budgets.guard.requests import Reserve
from budgets.models import Budget, BudgetPeriod
from tests.cast import bearer

# gpt-4o: 2.50 USD per million input tokens, 10 USD per million output tokens. So this costs 0.0025 + 0.001.
CALL = {"provider": "openai", "model": "gpt-4o", "input_tokens": 1000, "max_output_tokens": 100}
CALL_USD = Decimal("0.0035")


def make_budget(team: Team | None, limit: str | Decimal, **more) -> Budget:
    """A hard monthly budget in USD unless told otherwise."""
    name = more.pop("name", "monthly")
    return Budget.objects.create(team=team, name=name, limit=Decimal(limit), **{"enforcement": "hard"} | more)


def mid_month() -> int:
    """The anchor of a month that began half a month ago: minutes ago lie in it on any day the tests may run."""
    return min((datetime.now(UTC) - timedelta(days=14)).day, 28)


def ask(client, key: str, operation: str, expect: int = 200, **body) -> dict:
    """The JSON of POST /api/v1/guard/OPERATION."""
    answered = client.post(
        f"/api/v1/guard/{operation}", json.dumps(body), content_type="application/json", headers=bearer(key)
    )
    assert answered.status_code == expect, answered.content
    return answered.json()


def reserve(client, key: str, **body) -> dict:
    return ask(client, key, "reserve", **CALL | body)


def reserve_at(key: ApiKey, at: datetime, *, check: bool = False, **body) -> dict:
    """A reserve at a moment, past HTTP."""
    return answer(decide(key, Reserve(**CALL | body), check=check, at=at), key.team_id)


def ledger(budget: Budget) -> tuple[Decimal, Decimal]:
    """(used, reserved) of the budget's latest period."""
    row = BudgetPeriod.objects.filter(budget=budget).latest("starts_at")
    return row.used, row.reserved


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
