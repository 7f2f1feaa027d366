"""Roll-ups: minute, hour and day sums of the events, recomputed from the tier below wherever a mark says so."""

from usage.rollups.drain import drain, drain_tier, lag_seconds

__all__ = ["drain", "drain_tier", "lag_seconds"]
