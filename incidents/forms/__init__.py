"""Forms of the incidents room, by noun."""

from incidents.forms.controls import DURATIONS, KIND_FIELDS, SLICE, ControlForm, LastsForm, PolicyForm

__all__ = ["DURATIONS", "KIND_FIELDS", "SLICE", "ControlForm", "LastsForm", "PolicyForm"]
