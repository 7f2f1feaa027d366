"""What several budget pages share: amounts in the budget's unit, tabs, what an edit led to."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest

from aiops_site import formats
from budgets.actions import Outcome
from usage.links import tabs_of


def amount(value: Any, unit_label: str) -> str:
    """An amount with its unit: $1,204, 2.4M tokens, 312 requests."""
    return formats.money(value) if unit_label == "USD" else f"{formats.compact(value)} {unit_label}"


def tell(request: HttpRequest, outcome: Outcome, done: str) -> None:
    """Say what an edit led to."""
    if outcome.pending:
        messages.info(request, "Asked for approval; nothing is changed yet. " + " ".join(outcome.why))
    else:
        messages.success(request, done)


def tabs(current: str, waiting: int) -> list[tuple[str, str, bool]]:
    names = (
        ("Budgets", "budget-list"),
        (f"Approvals ({waiting})" if waiting else "Approvals", "budget-approvals"),
        ("Forecast", "forecast-list"),
        ("Planned events", "planned-event-list"),
    )
    return tabs_of(names, current)


def report_tabs(current: str) -> list[tuple[str, str, bool]]:
    """The pages around who pays for what."""
    names = (
        ("Weekly reports", "report-list"),
        ("Showback", "attribution"),
        ("Attribution rules", "attribution-rules"),
        ("Backlog", "backlog-list"),
    )
    return tabs_of(names, current)
