"""Forms of the incidents room, by noun."""

from incidents.forms.controls import KIND_FIELDS, SLICE, ControlForm, PolicyForm

__all__ = ["KIND_FIELDS", "SLICE", "ControlForm", "PolicyForm"]
