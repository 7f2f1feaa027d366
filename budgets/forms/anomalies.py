"""What a person says of an anomaly."""

from django import forms

from budgets.models import Anomaly

CHOICES = [
    (Anomaly.Decision.EXPECTED.value, "Expected: we know why, and it is fine"),
    (Anomaly.Decision.DISMISSED.value, "Dismiss: not worth acting on"),
]


class DecideForm(forms.Form):
    """A decision with its reason."""

    decision = forms.ChoiceField(choices=CHOICES, widget=forms.RadioSelect, label="Call it")
    reason = forms.CharField(
        max_length=500, label="Why", help_text="For whoever sees the next one; kept in the audit log"
    )


class ReopenForm(forms.Form):
    reason = forms.CharField(max_length=500, label="Why open it again")
