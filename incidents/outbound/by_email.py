"""Mail through the desk's own server (EMAIL_URL)."""

import smtplib

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage, get_connection
from django.core.validators import validate_email

from incidents.models import Channel
from incidents.outbound.message import Message, Outcome
from incidents.safe_http import Refused
from incidents.seal import unseal

SECONDS = 10
MOST = 20


def addresses(text: str) -> list[str]:
    """The addresses of a text that separates them by commas. Raises Refused where one is none, or are too many."""
    found = [one.strip() for one in text.split(",") if one.strip()]
    if not 1 <= len(found) <= MOST:
        raise Refused(f"Name 1 to {MOST} addresses, with commas.")
    for one in found:
        try:
            validate_email(one)
        except ValidationError:
            raise Refused(f"{one} is not an e-mail address.") from None
    return found


def shown(address: str) -> str:
    """All of it: mail addresses are no secret. Raises Refused as `addresses` does."""
    return ", ".join(addresses(address))


def send(channel: Channel, message: Message) -> Outcome:
    """Mail it to everybody of the channel at once."""
    if not settings.EMAIL_CONFIGURED:
        return Outcome(False, "The desk sends no mail: EMAIL_URL is not set.", final=True)
    headers = {"Message-ID": f"<{message.number}@{_domain()}>", "Auto-Submitted": "auto-generated"}
    connection = get_connection(timeout=SECONDS)
    mail = EmailMessage(message.subject, message.text, to=addresses(unseal(channel.address)), headers=headers)
    try:
        connection.send_messages([mail])
    except (OSError, smtplib.SMTPException) as error:
        return Outcome(False, f"The mail server refused it or is away ({type(error).__name__}).")
    return Outcome(True)


def _domain() -> str:
    return settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">") or "localhost"
