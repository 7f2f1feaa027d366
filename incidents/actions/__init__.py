"""Every write of the incidents room, by noun; what the other rooms call stands here."""

from incidents.actions.alerts import raise_alert, resolve_alert

__all__ = ["raise_alert", "resolve_alert"]
