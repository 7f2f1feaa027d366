"""How much of the providers' limits is used, and which models have none recorded."""

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Q
from django.urls import reverse
from django.utils.http import urlencode

from usage.metrics import MetricQuery, QueryError, limit_use
from usage.models import ProviderLimit
from usage.scope import Scope

QUOTA = ("quota_use_requests", "quota_use_tokens")
HIGH, FULL = Decimal("0.8"), Decimal(1)  # shares of a limit that are worth a word


@dataclass(frozen=True)
class Used:
    """A limit, and the shares of it that the busiest minute took; None where the limit does not say."""

    limit: ProviderLimit
    requests: Decimal | None
    tokens: Decimal | None

    @property
    def peak(self) -> Decimal:
        return max(share for share in (self.requests, self.tokens) if share is not None)

    @property
    def status(self) -> tuple[str, str]:
        """(tone, word)."""
        if self.peak >= FULL:
            return "bad", "at the limit"
        return ("warn", "high") if self.peak >= HIGH else ("ok", "room")


@dataclass(frozen=True)
class Unlimited:
    """Calls of a model that no recorded limit speaks of."""

    provider: str
    model: str
    calls: int

    @property
    def add_url(self) -> str:
        return f"{reverse('limit-add')}?{urlencode({'provider': self.provider, 'model': self.model})}"


@dataclass(frozen=True)
class QuotaUse:
    """Limits, most used first; models without one, most called first; `refused` says in words why there is neither."""

    used: list[Used]
    unlimited: list[Unlimited]
    refused: str = ""


def quota_use(scope: Scope) -> QuotaUse:
    """Two reads of the minutes. Calls that name no provider have no limit to be held against and are left out."""
    if "tenant" in scope.filters:
        return QuotaUse([], [], "Quota use is not kept by tenant. Remove the tenant filter to see it.")
    asked = MetricQuery((), scope.start, scope.end, filters=scope.filters, team_ids=scope.team_ids)
    try:
        shares = limit_use(asked)
    except QueryError as error:
        return QuotaUse([], [], str(error))
    return QuotaUse(_used(scope, shares), _unlimited(scope))


def _used(scope: Scope, shares: dict) -> list[Used]:
    """Every limit of the teams looked at, those that nothing was called against too."""
    limits = ProviderLimit.objects.filter(Q(team=None) | Q(team__in=scope.team_ids)).select_related("team")
    found = [Used(limit, *_shares(limit, shares)) for limit in limits]
    return sorted(found, key=lambda one: one.peak, reverse=True)


def _shares(limit: ProviderLimit, shares: dict) -> tuple[Decimal | None, ...]:
    nothing = (limit.requests_per_minute and Decimal(0), limit.tokens_per_minute and Decimal(0))
    return shares.get(limit.pk, nothing)


def _unlimited(scope: Scope) -> list[Unlimited]:
    rows = scope.query(("calls", *QUOTA), group_by=("provider", "model")).ranked("calls")
    return [
        Unlimited(row.key[0], row.key[1], row.values["calls"])
        for row in rows
        if row.key[0] and row.values["calls"] and all(row.values[name] is None for name in QUOTA)
    ]
