"""The form of a synthetic check."""

import re
from typing import Any
from urllib.parse import urlsplit

from django import forms

from accounts.access import can, teams_where
from accounts.models import Membership, User
from incidents.actions.canaries import as_dicts
from incidents.models import Canary
from incidents.rules.canaries import Assertion, parse

INTERVALS = [(60, "minute"), (300, "5 minutes"), (900, "15 minutes"), (3600, "hour"), (21_600, "6 hours")]
# RFC 9110: a token, and a value without control characters.
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*([\x20-\x7e]+)")
PLACEHOLDER = "json choices.0.message.content is string\ntext contains refund\ncitations citations >= 1"
BODY = '{"question": "How do I return a parcel?"}'


class CanaryForm(forms.Form):
    """What is sent, how often, and what must come back."""

    name = forms.CharField(max_length=100, help_text="What works if it passes, e.g. “Support answers with a source”")
    method = forms.ChoiceField(choices=Canary.Method.choices, initial="POST")
    url = forms.CharField(
        max_length=1000,
        label="Address",
        widget=forms.TextInput(attrs={"class": "mono", "inputmode": "url", "autocomplete": "off"}),
        help_text="Of your application, as users reach it; private ones only if OUTBOUND_ALLOWED_NETWORKS lists them",
    )
    headers = forms.CharField(
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2, "class": "mono", "placeholder": "Authorization: Bearer …"}),
    )
    body = forms.CharField(
        required=False,
        max_length=20_000,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 5, "class": "mono", "placeholder": BODY}),
        help_text="Of a POST, as it is sent. Anybody who may edit checks reads it",
    )
    every_seconds = forms.TypedChoiceField(choices=INTERVALS, coerce=int, initial=300, label="Every")
    timeout_seconds = forms.IntegerField(min_value=1, max_value=60, initial=20, label="Time-out, s")
    expected_status = forms.IntegerField(min_value=100, max_value=599, initial=200, label="Status")
    slowest_ms = forms.IntegerField(
        required=False, min_value=1, max_value=60_000, label="Slowest, ms", help_text="A slower answer fails"
    )
    assertions = forms.CharField(
        required=False,
        max_length=4000,
        label="The answer must have",
        widget=forms.Textarea(attrs={"rows": 5, "class": "mono", "placeholder": PLACEHOLDER}),
        help_text="A line each: <code>json PATH</code>, <code>json PATH is string</code> (number, boolean, list, "
        "object), <code>text contains …</code>, <code>text lacks …</code>, <code>citations PATH &gt;= 2</code>",
    )
    is_active = forms.BooleanField(required=False, initial=True, label="Runs")
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args, user: User, canary: Canary | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.canary = canary
        everyone = can(user, "rule.edit")
        teams = forms.ModelChoiceField(teams_where(user, "rule.edit"), required=not everyone)
        teams.empty_label = "The whole organisation" if everyone else "Choose a team"
        self.fields["team"] = teams
        people = User.objects.filter(pk__in=Membership.objects.values("user"), is_active=True).order_by("email")
        self.fields["owner"] = forms.ModelChoiceField(people, required=False, empty_label="Nobody yet")
        kept = ", ".join(canary.header_names) if canary else ""
        told = f"Kept and never shown: {kept}. Empty leaves them; a dash removes them" if kept else "Stored encrypted"
        self.fields["headers"].help_text = told

    def clean_headers(self) -> dict[str, str] | None:
        """None: as they are; {}: none."""
        text = self.cleaned_data["headers"].strip()
        if not text:
            return None
        found = {}
        for line in [] if text == "-" else text.splitlines():
            if not (match := _HEADER.fullmatch(line.strip())):
                raise forms.ValidationError("A line each should read: Name: value.")
            found[match[1]] = match[2].strip()
        return found

    def clean_assertions(self) -> list[dict[str, str]]:
        try:
            return as_dicts(parse(self.cleaned_data["assertions"]))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        """Secrets go to the address they were entered for: another one asks for them again."""
        cleaned = super().clean() or {}
        moved = self.canary and self.canary.header_names and origin(self.canary.url) != origin(cleaned.get("url", ""))
        if moved and cleaned.get("headers") is None and "headers" not in self.errors:
            self.add_error("headers", "The address is another host: enter the headers again, or a dash for none.")
        return cleaned

    @property
    def values(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if name not in ("headers", "version")}

    @property
    def request_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("name", "method", "url", "headers", "body")]

    @property
    def answer_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("expected_status", "slowest_ms", "assertions")]

    @property
    def rest_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("every_seconds", "timeout_seconds", "team", "owner", "is_active")]


def origin(url: str) -> tuple[str, str]:
    """Scheme and host with port; what cannot be read is an origin of its own."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ("", url)
    return parts.scheme, parts.netloc


def as_initial(canary: Canary) -> dict[str, Any]:
    """A check as the form's fields; its headers stay where they are."""
    names = ("name", "method", "url", "body", "every_seconds", "timeout_seconds", "expected_status", "slowest_ms")
    lines = "\n".join(Assertion(**one).line for one in canary.assertions)
    more = ("team", "owner", "is_active", "version")
    return {name: getattr(canary, name) for name in (*names, *more)} | {"assertions": lines}
