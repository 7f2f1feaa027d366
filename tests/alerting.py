"""Alert rules, and a channel to hear of them, for tests."""

from itertools import count

from accounts.actions import Author
from accounts.models import Team
from incidents.models import AlertRule, Channel, NotificationRoute, RunbookSection
from incidents.seal import seal

BOT = Author(label="test")
_numbers = count(1)


def make_rule(runbook: str = "latency", **fields) -> AlertRule:
    """An active threshold rule: error rate above 5 %, critical, paging; `fields` override."""
    section = RunbookSection.objects.get(runbook__slug=runbook, kind="containment")
    number = next(_numbers)
    facts = {"slug": f"rule-{number}", "name": f"Rule {number}", "kind": "threshold", "metric": "error_rate"}
    facts |= {"threshold": "0.05", "severity": "critical", "route": "page", "first_mitigation": "Fail over"}
    return AlertRule.objects.create(runbook_section=section, **facts | fields)


def make_channel(team: Team | None = None) -> Channel:
    """An e-mail channel with a route for everything of the team (None: of every team)."""
    facts = {"kind": "email", "address": seal("pager@desk.example"), "shown": "pager@desk.example"}
    channel = Channel.objects.create(name="Pager", team=team, **facts)
    NotificationRoute.objects.create(team=team, channel=channel)
    return channel
