"""Reads of the incidents room, by noun."""

from incidents.queries.alerts import visible_alerts

__all__ = ["visible_alerts"]
