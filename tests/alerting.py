"""Alert rules for tests."""

from itertools import count

from accounts.actions import Author
from incidents.models import AlertRule, RunbookSection

BOT = Author(label="test")
_numbers = count(1)


def make_rule(runbook: str = "latency", **fields) -> AlertRule:
    """An active threshold rule: error rate above 5 %, critical, paging; `fields` override."""
    section = RunbookSection.objects.get(runbook__slug=runbook, kind="containment")
    number = next(_numbers)
    facts = {"slug": f"rule-{number}", "name": f"Rule {number}", "kind": "threshold", "metric": "error_rate"}
    facts |= {"threshold": "0.05", "severity": "critical", "route": "page", "first_mitigation": "Fail over"}
    return AlertRule.objects.create(runbook_section=section, **facts | fields)
