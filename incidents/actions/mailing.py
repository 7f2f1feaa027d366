"""Messages to people by e-mail: claimed one by one, sent outside any transaction, tried again with patience."""

import smtplib
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db.models import F

from incidents.models import Message

# After each attempt; with the last one it is given up and said on the message.
PATIENCE = tuple(timedelta(minutes=minutes) for minutes in (0, 1, 5, 30, 120))
SECONDS = 10


def mail_due(now: datetime) -> int:
    """Mail what was sent and is not mailed yet; returns how many went out. At least once, whatever is killed."""
    waiting = Message.objects.filter(state=Message.State.SENT, mailed_at=None).exclude(recipients=[])
    return sum(_try(message, now) for message in waiting.filter(mail_attempts__lt=len(PATIENCE)))


def _try(message: Message, now: datetime) -> bool:
    if message.sent_at is None or now < message.sent_at + PATIENCE[message.mail_attempts] or not _claim(message):
        return False
    failure = _mail(message)
    row = Message.objects.filter(pk=message.pk)
    row.update(mail_failure=failure[:300], **({} if failure else {"mailed_at": now}))
    return not failure


def _claim(message: Message) -> bool:
    """Only one worker gets this attempt."""
    row = Message.objects.filter(pk=message.pk, mail_attempts=message.mail_attempts, mailed_at=None)
    return bool(row.update(mail_attempts=F("mail_attempts") + 1))


def _mail(message: Message) -> str:
    """Send it, the recipients hidden from each other; what went wrong, "" if nothing did."""
    if not settings.EMAIL_CONFIGURED:
        return "The desk sends no mail: EMAIL_URL is not set."
    mail = EmailMessage(message.subject, message.body, bcc=message.recipients)
    try:
        get_connection(timeout=SECONDS).send_messages([mail])
    except (OSError, smtplib.SMTPException) as error:
        return f"The mail server refused it or is away ({type(error).__name__})."
    return ""
