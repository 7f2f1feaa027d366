"""What pages read from a request beside their forms, and how a refusal gets back onto a form."""

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts.access import person_of
from accounts.actions import Author


def author_of(request: HttpRequest) -> Author:
    """Who acts, behind `login_required`."""
    return Author(user=person_of(request), request=request)


def text_of(request: HttpRequest, name: str, longest: int = 500) -> str:
    """A posted text without blanks around it and without NUL, which PostgreSQL cannot store; "" where there is none."""
    return request.POST.get(name, "").replace("\0", "").strip()[:longest]


def whole_number(text: str) -> int | None:
    """The number that a text of up to 18 ASCII digits is, so that it fits any column; None for everything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def report(form: forms.Form, error: ValidationError, shown_as: dict[str, str] | None = None) -> None:
    """Put the messages of a domain error on the form's fields, else on top of it; `shown_as`: domain name → field."""
    for name, texts in error.message_dict.items() if hasattr(error, "error_dict") else [("", error.messages)]:
        shown = (shown_as or {}).get(name, name)
        shown = shown if shown in form.fields else name
        form.add_error(shown if shown in form.fields else None, texts)
