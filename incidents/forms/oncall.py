"""Forms of rotas, overrides and escalation policies."""

from typing import Any

from django import forms
from django.db.models import Q, QuerySet

from accounts.access import can, teams_where
from accounts.models import Team, User
from incidents.actions.oncall import RotaFacts, StepFacts
from incidents.forms.channels import zone_field
from incidents.models import EscalationPolicy, Rota
from incidents.queries.oncall import visible_rotas

MOST_STEPS = 5
TURNS = [(1, "1 day"), (7, "1 week"), (14, "2 weeks"), (28, "4 weeks")]


def people_of_team(team: Team | None) -> QuerySet[User]:
    """Who may be on call for the team: its members and those of the organisation; only the latter for every team."""
    of_all = Q(memberships__team=None, memberships__role__isnull=False)
    mine = Q(memberships__team=team) | of_all if team else of_all
    return User.objects.filter(mine, is_active=True).distinct().order_by("first_name", "email")


def local_time(**kwargs: Any) -> forms.DateTimeField:
    """A moment in the viewer's zone."""
    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    return forms.DateTimeField(widget=widget, input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"], **kwargs)


class RotaForm(forms.Form):
    """A rota; its members are e-mail addresses, a line each, in the order of their turns."""

    name = forms.CharField(max_length=100, initial="Primary")
    level = forms.IntegerField(min_value=1, max_value=9, initial=1, help_text="1 is paged first")
    members = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono"}),
        help_text="E-mail addresses in the order of their turns, a line each",
    )
    days = forms.TypedChoiceField(choices=TURNS, coerce=int, initial=7, label="A turn lasts")
    starts_on = forms.DateField(
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"), label="First turn begins on"
    )
    handover_at = forms.TimeField(
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"), label="Hand-over at", initial="09:00"
    )

    def __init__(self, *args, user: User, rota: Rota | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        everywhere = can(user, "oncall.edit")
        team = forms.ModelChoiceField(teams_where(user, "oncall.edit"), required=not everywhere)
        team.empty_label = "Every team without its own" if everywhere else "Choose a team"
        self.fields["team"], self.fields["zone"] = team, zone_field()
        if rota and rota.days not in dict(TURNS):
            self.fields["days"].choices = [*TURNS, (rota.days, f"{rota.days} days")]  # type: ignore[attr-defined]
        self.order_fields(["team", "name", "level", "members", "days", "starts_on", "handover_at", "zone"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        lines = [line.strip().lower() for line in data.get("members", "").splitlines() if line.strip()]
        known = {user.email: user for user in people_of_team(data.get("team"))}
        if unknown := [line for line in lines if line not in known]:
            self.add_error("members", f"{unknown[0]} is nobody with a role in the team.")
        data["people"] = [known[line] for line in lines if line in known]
        return data

    @property
    def facts(self) -> RotaFacts:
        names = ("team", "name", "level", "days", "handover_at", "zone", "starts_on")
        return RotaFacts(members=self.cleaned_data["people"], **{name: self.cleaned_data[name] for name in names})


class OverrideForm(forms.Form):
    """Someone covers a span."""

    starts_at = local_time(label="From")
    ends_at = local_time(label="Until")
    reason = forms.CharField(max_length=200, required=False)

    def __init__(self, *args, rota: Rota, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["user"] = forms.ModelChoiceField(
            people_of_team(rota.team), label="Who covers", empty_label="Choose"
        )
        self.order_fields(["user", "starts_at", "ends_at", "reason"])


class PolicyForm(forms.Form):
    """Up to five steps, each a rota or a person and the minutes to acknowledge."""

    rounds = forms.IntegerField(
        min_value=1, max_value=10, initial=2, label="Rounds", help_text="How often the steps are gone through"
    )

    def __init__(self, *args, user: User, policy: EscalationPolicy | None, team: Team | None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        rotas = {
            f"rota:{one.pk}": one for one in visible_rotas(user) if one.team_id in (None, team.pk if team else None)
        }
        people = {f"user:{one.pk}": one for one in people_of_team(team)}
        self.targets: dict[str, Rota | User] = {**rotas, **people}
        choices = [
            ("", "–"),
            ("Whoever is on call in", [(key, str(one)) for key, one in rotas.items()]),
            ("A person", [(key, str(one)) for key, one in people.items()]),
        ]
        steps = list(policy.steps.all()) if policy else []
        for number in range(1, MOST_STEPS + 1):
            step = steps[number - 1] if number <= len(steps) else None
            first = f"rota:{step.rota_id}" if step and step.rota_id else f"user:{step.user_id}" if step else ""
            self.fields[f"target_{number}"] = forms.ChoiceField(
                choices=choices, required=number == 1, initial=first, label=f"Step {number} pages"
            )
            self.fields[f"minutes_{number}"] = forms.IntegerField(
                min_value=1, max_value=240, initial=step.minutes if step else 5, label="Minutes to acknowledge"
            )
        if policy:
            self.fields["rounds"].initial = policy.rounds

    @property
    def rows(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        return [(self[f"target_{n}"], self[f"minutes_{n}"]) for n in range(1, MOST_STEPS + 1)]

    @property
    def steps(self) -> list[StepFacts]:
        found = []
        for number in range(1, MOST_STEPS + 1):
            target = self.targets.get(self.cleaned_data[f"target_{number}"])
            if target is not None:
                rota, user = (target, None) if isinstance(target, Rota) else (None, target)
                found.append(StepFacts(rota, user, self.cleaned_data[f"minutes_{number}"]))
        return found
