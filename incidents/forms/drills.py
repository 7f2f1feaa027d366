"""The forms of drills."""

from datetime import timedelta

from django import forms

from accounts.access import teams_where
from accounts.models import User
from incidents.models import Drill, FailureMode
from incidents.rules.drills import SCENARIOS

LENGTHS = [("10", "10 minutes"), ("20", "20 minutes"), ("30", "30 minutes"), ("60", "1 hour"), ("120", "2 hours")]


class DrillForm(forms.Form):
    """Which rehearsal, with whom, for how long."""

    kind = forms.ChoiceField(choices=Drill.Kind.choices, initial="game_day", widget=forms.RadioSelect)
    scenario = forms.ChoiceField(choices=[(one.key, one.title) for one in SCENARIOS.values()], widget=forms.RadioSelect)
    lasts = forms.ChoiceField(choices=LENGTHS, initial="20", label="For")
    is_blind = forms.BooleanField(
        required=False, initial=True, label="Blind", help_text="Only you see what it is until it ends"
    )

    def __init__(self, *args, user: User, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        teams = teams_where(user, "incident.work")
        self.fields["team"] = forms.ModelChoiceField(
            teams, initial=teams.first(), help_text="Its alerts and its on-call"
        )
        self.order_fields(["team", "scenario", "kind", "lasts", "is_blind"])

    @property
    def length(self) -> timedelta:
        return timedelta(minutes=int(self.cleaned_data["lasts"]))


class MomentForm(forms.Form):
    """What a tabletop says: that a moment has come, and what it was taken for."""

    moment = forms.CharField(max_length=15)
    classified_as = forms.ChoiceField(choices=[("", "–"), *FailureMode.choices], required=False)
