"""The form of a message."""

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from incidents.models import Message

NEXT = [
    ("", "none promised"),
    (15, "15 minutes"),
    (30, "30 minutes"),
    (60, "1 hour"),
    (120, "2 hours"),
    (1440, "1 day"),
]
MOST = 50


class MessageForm(forms.Form):
    """Texts and ways of a message."""

    subject = forms.CharField(max_length=200)
    body = forms.CharField(max_length=10_000, widget=forms.Textarea(attrs={"rows": 12}), label="Text")
    next_update_minutes = forms.TypedChoiceField(
        choices=NEXT, coerce=int, empty_value=None, required=False, label="Next update in",
        help_text="Counts from the sending; the desk nags when it is overdue",
    )  # fmt: skip
    to_channels = forms.BooleanField(required=False, label="To the notification channels of the team")
    recipients = forms.CharField(
        max_length=5000,
        required=False,
        label="E-mail to",
        help_text="Addresses with commas; they do not see each other",
    )

    def __init__(self, *args, message: Message, **kwargs) -> None:
        names = ("subject", "body", "next_update_minutes", "to_channels")
        initial = {name: getattr(message, name) for name in names} | {"recipients": ", ".join(message.recipients)}
        super().__init__(*args, **kwargs | {"initial": initial})
        if message.kind not in (Message.Kind.INTERNAL, Message.Kind.STATUS):
            del self.fields["next_update_minutes"]
        if message.incident.is_private:
            del self.fields["to_channels"]

    def clean_subject(self) -> str:
        """On one line: it becomes a header of mails."""
        return " ".join(self.cleaned_data["subject"].split())

    def clean_body(self) -> str:
        """Browsers send lines with CR: that is no change of what stands there."""
        return self.cleaned_data["body"].replace("\r\n", "\n")

    def clean_recipients(self) -> list[str]:
        found = [part.strip() for part in self.cleaned_data["recipients"].split(",") if part.strip()]
        if len(found) > MOST:
            raise ValidationError(f"At most {MOST} addresses; this names {len(found)}.")
        for address in found:
            try:
                validate_email(address)
            except ValidationError:
                raise ValidationError(f"{address[:80]} is not an e-mail address.") from None
        return list(dict.fromkeys(found))

    @property
    def texts(self) -> dict:
        return {"next_update_minutes": None, "to_channels": False} | self.cleaned_data
