"""Forms of channels and routes."""

from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError

from accounts.access import can, teams_where
from accounts.models import User
from incidents.actions.channels import ChannelFacts
from incidents.models import Alert, Channel
from incidents.queries.channels import visible_channels

ADDRESS = {
    "apprise": (
        "Apprise address",
        "slack://…, workflows://…, pagerduty://…, opsgenie://…, or the service's own https address",
    ),
    "webhook": ("Address", "https://… of yours; every message is signed"),
    "email": ("Addresses", "With commas; sent by the desk's own mail server"),
}
PERSONAL = "mine"


def may_manage(user: User, channel: Channel) -> bool:
    """One's own, and those of teams or the organisation with the right to."""
    return channel.user_id == user.pk if channel.user_id else can(user, "channel.manage", channel.team)


def zone_field() -> forms.CharField:
    """A time zone by its IANA name."""
    field = forms.CharField(max_length=64, initial="UTC", help_text="IANA name, e.g. Europe/Berlin")
    field.validators.append(_known_zone)
    return field


def _known_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(f"{name} is not a time zone. Write it as Europe/Berlin or UTC.")


class ChannelForm(forms.Form):
    """What a channel is. Its kind comes with the address of the page; whose it is, only when it is made."""

    owner = forms.ChoiceField(label="For")
    name = forms.CharField(max_length=100, help_text="As people call it: #oncall, Pager of Mia")
    address = forms.CharField(max_length=2000, widget=forms.TextInput(attrs={"autocomplete": "off", "class": "mono"}))
    per_minute = forms.IntegerField(
        min_value=1, max_value=600, initial=10, label="Messages a minute", help_text="More than these become one digest"
    )
    quiet_from = forms.TimeField(required=False, widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"))
    quiet_until = forms.TimeField(
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
        help_text="Only pages go out between the two; the rest waits",
    )

    def __init__(self, *args, user: User, kind: str, channel: Channel | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.kind, self.channel = kind, channel
        self.fields["zone"] = zone_field()
        label, help_text = ADDRESS[kind]
        self.fields["address"].label, self.fields["address"].help_text = label, help_text
        if channel:
            del self.fields["owner"]
            self.fields["address"].required = False
            self.fields["address"].help_text = f"Now: {channel.shown}. Empty: it stays"
            return
        teams = [(str(one.pk), one.name) for one in teams_where(user, "channel.manage")]
        whole = [("", "The organisation")] if can(user, "channel.manage") else []
        owner = self.fields["owner"]
        owner.choices = [*whole, *teams, (PERSONAL, "Me: I am paged by it")]  # type: ignore[attr-defined]
        owner.required = not whole

    @property
    def facts(self) -> ChannelFacts:
        names = ("name", "address", "per_minute", "quiet_from", "quiet_until", "zone")
        return ChannelFacts(kind=self.kind, **{name: self.cleaned_data[name] for name in names})


class RouteForm(forms.Form):
    """What is sent to which channel."""

    least_severity = forms.ChoiceField(choices=Alert.Severity.choices, label="From severity", initial="warning")
    route = forms.ChoiceField(choices=[("", "Pages, tickets and reports"), *Alert.Route.choices], required=False)

    def __init__(self, *args, user: User, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        everywhere = can(user, "channel.manage")
        team = forms.ModelChoiceField(teams_where(user, "channel.manage"), required=not everywhere)
        team.empty_label = "Every team" if everywhere else "Choose a team"
        self.fields["team"] = team
        shared = visible_channels(user).filter(user=None)
        self.fields["channel"] = forms.ModelChoiceField(shared, empty_label="Choose a channel", label="To channel")
        self.order_fields(["team", "least_severity", "route", "channel"])
