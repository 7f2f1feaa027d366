from usage.models.attribution import AttributionRule
from usage.models.changes import ChangeMarker
from usage.models.events import BatchLedger, EventStamp, LateMinute, RollupMark, Series, UsageEvent
from usage.models.limits import ProviderLimit
from usage.models.prices import Price, PriceBook, Repricing
from usage.models.reconciliation import ReconciledDay, Reconciliation

__all__ = [
    "AttributionRule",
    "BatchLedger",
    "ChangeMarker",
    "EventStamp",
    "LateMinute",
    "Price",
    "PriceBook",
    "ProviderLimit",
    "ReconciledDay",
    "Reconciliation",
    "Repricing",
    "RollupMark",
    "Series",
    "UsageEvent",
]
