"""Forms of the runbook pages."""

from django import forms
from django.db.models import Q, QuerySet

from accounts.access import can, teams_where
from accounts.models import Team, User
from incidents.models import FailureMode, Runbook, SectionKind
from incidents.rules.runbooks import SECTION_HELP

ROWS = {"detection": 10, "containment": 8, "mitigation": 14}


class RunbookForm(forms.Form):
    """Title, failure mode and the six sections. `base` is the version that was opened."""

    title = forms.CharField(max_length=200)
    failure_mode = forms.ChoiceField(
        choices=[("", "Any"), *FailureMode.choices], required=False, help_text="Incidents of this mode offer it"
    )
    note = forms.CharField(
        max_length=500, required=False, label="What changed", help_text="Who reads the versions should understand it"
    )
    base = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=1)

    def __init__(self, *args, user: User, is_new: bool, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if is_new:
            self.fields["team"] = _team_field(user)
            del self.fields["note"]
        for kind in SectionKind:
            self.fields[kind.value] = forms.CharField(
                required=False,
                strip=False,
                label=kind.label,
                help_text=SECTION_HELP[kind.value],
                widget=forms.Textarea(attrs={"rows": ROWS.get(kind.value, 7), "class": "mono", "spellcheck": "true"}),
            )

    @property
    def sections(self) -> dict[str, str]:
        """Markdown by section kind, with plain line ends."""
        return {kind: self.cleaned_data[kind].replace("\r\n", "\n").strip() for kind in SectionKind.values}

    @property
    def typed(self) -> dict[str, str]:
        """The sections as they were typed, whether they are good or not."""
        return {kind: (self.data.get(kind) or "").replace("\r\n", "\n").strip() for kind in SectionKind.values}

    @property
    def head_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("title", "failure_mode", "team", "note") if name in self.fields]

    @property
    def section_fields(self) -> list[forms.BoundField]:
        return [self[kind] for kind in SectionKind.values]


class CareForm(forms.Form):
    """Who owns a runbook and when it is reviewed."""

    review_by = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args, book: Runbook, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"] = forms.ModelChoiceField(people_of(book.team), required=False, empty_label="Nobody")
        self.order_fields(["owner", "review_by"])


def people_of(team: Team | None) -> QuerySet[User]:
    """Those who may be asked to do something in a team: its members and the organisation's; without one, everybody."""
    people = User.objects.filter(is_active=True, memberships__isnull=False)
    if team is not None:
        people = people.filter(Q(memberships__team=team) | Q(memberships__team=None))
    return people.distinct().order_by("email")


def _team_field(user: User) -> forms.ModelChoiceField:
    everywhere = can(user, "runbook.edit")
    field = forms.ModelChoiceField(teams_where(user, "runbook.edit"), required=not everywhere, label="For")
    field.empty_label = "Every team" if everywhere else "Choose a team"
    return field
