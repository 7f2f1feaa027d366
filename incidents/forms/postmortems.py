"""Forms of the postmortem pages."""

from datetime import date, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import Team
from incidents.forms.runbooks import people_of
from incidents.models import ActionItem, Postmortem
from incidents.rules.postmortems import SECTIONS, outline, read_outline
from usage.rules.calendar import is_plausible

ROWS = {"summary": 5, "root_cause": 6}


class PostmortemForm(forms.Form):
    """Its texts, in Markdown; the whys as an outline. `base` is the version that was opened."""

    title = forms.CharField(max_length=200)
    base = forms.IntegerField(widget=forms.HiddenInput, min_value=1)
    recovered_at = forms.DateTimeField(
        required=False,
        label="Recovered",
        help_text="When people were served as before, in your time zone",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
    )
    whys = forms.CharField(
        required=False,
        strip=False,
        label="Whys",
        widget=forms.Textarea(attrs={"rows": 9, "class": "mono", "placeholder": "- Why did it happen?\n  - Because …"}),
        help_text="A line for each; two blanks deeper for its “because”. Ask five times; it may branch",
    )

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        for name, title, help_text in SECTIONS:
            area = forms.Textarea(attrs={"rows": ROWS.get(name, 4)})
            self.fields[name] = forms.CharField(
                required=False, max_length=20_000, label=title, help_text=help_text, widget=area
            )

    def clean_whys(self) -> list[dict[str, Any]]:
        try:
            return read_outline(self.cleaned_data["whys"])
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def clean_recovered_at(self) -> datetime | None:
        moment = self.cleaned_data["recovered_at"]
        if moment and not is_plausible(moment):
            raise ValidationError("This time is out of range.")
        return moment

    @property
    def values(self) -> dict[str, Any]:
        names = ("title", "whys", "recovered_at", *(name for name, _, _ in SECTIONS))
        return {name: self.cleaned_data[name] for name in names} | {
            name: self.cleaned_data[name].replace("\r\n", "\n") for name, _, _ in SECTIONS
        }

    @property
    def text_fields(self) -> list[forms.BoundField]:
        names = [name for name, _, _ in SECTIONS]
        return [self["title"], *(self[name] for name in (*names[:3], "whys", *names[3:])), self["recovered_at"]]


def as_initial(postmortem: Postmortem) -> dict[str, Any]:
    """What the form shows of a postmortem."""
    recovered = postmortem.recovered_at
    return {name: getattr(postmortem, name) for name, _, _ in SECTIONS} | {
        "title": postmortem.title,
        "base": postmortem.version,
        "whys": outline(postmortem.whys),
        "recovered_at": timezone.localtime(recovered) if recovered else None,
    }


class ItemForm(forms.Form):
    """An action item."""

    text = forms.CharField(max_length=300, label="What is done", help_text="One thing that somebody can finish")
    kind = forms.ChoiceField(choices=ActionItem.Kind.choices, label="Aim")
    measure = forms.CharField(max_length=300, required=False, help_text="How one sees that it worked: a number, a test")
    due = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))
    base = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args, team: Team | None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        people: forms.ModelChoiceField = forms.ModelChoiceField(
            people_of(team), required=False, empty_label="Nobody yet"
        )
        self.fields["owner"] = people
        self.order_fields(["text", "kind", "owner", "due", "measure", "base"])

    def clean_due(self) -> date | None:
        day = self.cleaned_data["due"]
        if day and not 2000 <= day.year <= 2100:
            raise ValidationError("A day from 2000 to 2100.")
        return day

    @property
    def values(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("text", "kind", "measure", "due", "owner")}

    @property
    def shown_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("text", "kind", "owner", "due", "measure")]


def item_initial(item: ActionItem) -> dict[str, Any]:
    names = ("text", "kind", "measure", "due", "owner")
    return {name: getattr(item, name) for name in names} | {"base": item.version}
