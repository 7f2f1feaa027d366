"""Are we saturated? How much of the providers' limits the busiest minute took."""

from django.http import HttpRequest

from accounts.access import can_anywhere
from aiops_site import formats
from usage.queries.quota import QuotaUse, quota_use
from usage.scope import Scope

LIMIT = 6


def read(request: HttpRequest, scope: Scope) -> dict:
    """Two reads of the minutes."""
    quota = quota_use(scope)
    return {
        "quota": quota,
        "quota_title": title(quota),
        "rows": quota.used[:LIMIT],
        "rest": max(len(quota.used) - LIMIT, 0),
        "may_add": can_anywhere(request.user, "limit.edit"),
    }


def title(quota: QuotaUse) -> str:
    """ "Quota use 84 % at its peak, openai gpt-4o"."""
    if not quota.used:
        return "Quota use is unknown: no limit is recorded" if quota.unlimited else "Quota use"
    most = quota.used[0]
    return f"Quota use {formats.percent(most.peak)} at its peak, {most.limit}"
