"""Forms of the incidents room, by noun."""

from incidents.forms.controls import SLICE, ControlForm, PolicyForm

__all__ = ["SLICE", "ControlForm", "PolicyForm"]
