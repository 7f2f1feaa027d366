"""Budgets and a mode policy of the demo teams, sized by what those teams used. Removed with the teams."""

from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

from accounts.actions import Author
from accounts.models import Team
from budgets.actions import create_budget
from budgets.facts import check
from budgets.guard.metering import refresh
from budgets.models import Budget
from budgets.queries.used import Ask, used
from incidents.models import ModePolicy
from incidents.policies import save_policy

DEMO = Author(label="demo")
ON_THE_WAY = [
    {"percent": "70", "action": "notify"},
    {"percent": "85", "action": "conserve"},
    {"percent": "100", "action": "block"},
]
# (team, name, share of the last thirty days' use that is the limit, other facts)
BUDGETS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("support", "Support, monthly", "1.4", {"enforcement": "hard", "thresholds": ON_THE_WAY}),
    ("search", "Search, monthly", "0.9", {"enforcement": "hard", "thresholds": ON_THE_WAY}),
    ("coding", "Coding, monthly", "1.2", {"rollover_share": "0.5"}),
    ("growth", "Growth, monthly", "0.85", {}),
    ("support", "Support, tokens a day", "0.06", {"unit": "tokens", "period": "day", "environment": "prod"}),
    ("coding", "Coding, calls an hour", "0.004", {"unit": "requests", "period": "hour"}),
)
MODELS = {"gpt-4o": "gpt-4o-mini"}


def create_demo_budgets(now: datetime) -> int:
    """Make them where no demo team has a budget yet; returns how many were made."""
    teams = {team.slug: team for team in Team.objects.filter(is_demo=True)}
    if not teams or Budget.objects.filter(team__in=teams.values()).exists():
        return 0
    mine = [row for row in BUDGETS if row[0] in teams]  # a team of that name may be somebody's own
    made = [_make(teams[team], name, Decimal(share), facts, now) for team, name, share, facts in mine]
    _make_policies(list(teams.values()))
    refresh(now)
    return len(made)


def _make(team: Team, name: str, share: Decimal, facts: dict, now: datetime) -> Budget:
    limit = max(_last_month(team, facts, now) * share, Decimal(1)).to_integral_value(ROUND_CEILING)
    draft = check({"name": name, "team": team.slug, "limit": f"{limit:f}"} | facts, teams=[team])
    return create_budget(author=DEMO, draft=draft)


def _last_month(team: Team, facts: dict, now: datetime) -> Decimal:
    scope = Budget(team=team, environment=facts.get("environment", ""))
    ask = Ask(scope, facts.get("unit", "usd"), now - timedelta(days=30), now)
    return used([ask], now)[ask].amount


def _make_policies(teams: list[Team]) -> None:
    values = {"max_output_tokens": 400, "max_context_tokens": 8000, "top_k": 4, "model_map": MODELS, "tools_off": []}
    strict = values | {"max_output_tokens": 200, "top_k": 2, "tools_off": ["*"]}
    for team in teams:
        if not ModePolicy.objects.filter(team=team).exists():
            save_policy(author=DEMO, team=team, feature="", mode="conserve", values=values)
            save_policy(author=DEMO, team=team, feature="", mode="emergency", values=strict)
