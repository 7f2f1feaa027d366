from usage.models.changes import ChangeMarker
from usage.models.events import BatchLedger, EventStamp, RollupMark, Series, UsageEvent
from usage.models.prices import Price, PriceBook, Repricing

__all__ = [
    "BatchLedger",
    "ChangeMarker",
    "EventStamp",
    "Price",
    "PriceBook",
    "Repricing",
    "RollupMark",
    "Series",
    "UsageEvent",
]
