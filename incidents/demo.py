"""Objectives of the demo teams. Removed with the teams."""

from decimal import Decimal
from typing import Any

from accounts.actions import Author
from accounts.models import Team
from incidents.actions.slos import save_slo
from incidents.models import Slo

DEMO = Author(label="demo")
# (team, facts): one of each kind, some kept and one missed.
OBJECTIVES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("support", {"name": "Support answers", "indicator": "success", "target": "0.99", "environment": "prod"}),
    ("support", {"name": "Support within 20 s", "indicator": "latency", "target": "0.98", "limit": "20000"}),
    ("support", {"name": "Support is safe", "indicator": "quality", "target": "0.99", "checks": ["policy"]}),
    ("support", {"name": "A conversation costs at most 2 cents", "indicator": "spend", "target": "0.95"}
     | {"limit": "0.02", "per": "conversation"}),
    ("search", {"name": "Search answers", "indicator": "success", "target": "0.995"}),
    ("coding", {"name": "Coding within 30 s", "indicator": "latency", "target": "0.95", "limit": "30000"}),
    ("growth", {"name": "Growth meets its schema", "indicator": "quality", "target": "0.98", "checks": ["schema"]}),
)  # fmt: skip


def create_demo_slos() -> int:
    """Make them where no demo team has an objective yet; returns how many were made."""
    teams = {team.slug: team for team in Team.objects.filter(is_demo=True)}
    if Slo.objects.filter(team__in=teams.values()).exists():
        return 0
    mine = [(teams[slug], facts) for slug, facts in OBJECTIVES if slug in teams]
    for team, given in mine:
        numbers = {name: Decimal(given[name]) for name in ("target", "limit") if name in given}
        values = given | numbers | {"team": team, "exclusions": {"environment": ["drill"]}}
        save_slo(author=DEMO, slo=Slo(), values=values)
    return len(mine)
