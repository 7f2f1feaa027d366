"""Cost reports: making one, sending what waits, who gets them, and commitments; each step with its audit entry."""

import smtplib
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.template.loader import render_to_string

from accounts.actions import Author, audit
from accounts.models import Team
from budgets.models import Commitment, Report, ReportDelivery, ReportRecipient
from budgets.queries.weekly import gather
from budgets.rules.weeks import WEEK, week_name, week_of

ATTEMPTS = 5
# A sender that died may have sent it: it is not sent again, the page says so.
RETRY_AFTER = timedelta(minutes=30)


def make_weekly(team: Team | None, start: datetime, now: datetime) -> Report | None:
    """The report of the whole week that began at `start`, and a delivery for each recipient; None if it was made."""
    week = week_name(start)
    if Report.objects.filter(team=team, week=week, is_weekly=True).exists():
        return None
    facts = gather(team, start, start + WEEK, now)
    try:
        with transaction.atomic():
            report = Report.objects.create(
                team=team,
                week=week,
                is_weekly=True,
                starts_at=start,
                ends_at=start + WEEK,
                facts=facts,
                made_at=now,
            )
            emails = ReportRecipient.objects.filter(team=team).values_list("email", flat=True)
            ReportDelivery.objects.bulk_create(ReportDelivery(report=report, email=email) for email in emails)
    except IntegrityError:
        return None  # another worker was first
    return report


def make_due(now: datetime) -> int:
    """Make last week's reports that are not there yet: of the organisation, and of every team with a recipient."""
    start = week_of(now) - WEEK
    with_recipients = ReportRecipient.objects.filter(team__isnull=False).values("team")
    teams: list[Team | None] = [None, *Team.objects.filter(pk__in=with_recipients).order_by("pk")]
    return sum(make_weekly(team, start, now) is not None for team in teams)


def make_now(*, author: Author, team: Team | None, now: datetime) -> Report:
    """A report of the running week so far, for the archive; it is not mailed."""
    start, end = week_of(now), now.replace(second=0, microsecond=0)
    end = max(end, start + timedelta(minutes=1))
    facts = gather(team, start, end, now)
    with transaction.atomic():
        report = Report.objects.create(
            team=team,
            week=week_name(start),
            is_weekly=False,
            starts_at=start,
            ends_at=end,
            facts=facts,
            made_at=now,
            made_by=author.user,
        )
        _audit(author, "report.made", report, team, after={"week": report.week})
    return report


def send_waiting(now: datetime) -> int:
    """Send every delivery that waits or may be tried again; returns how many were sent. Safe to run twice at once."""
    if not settings.EMAIL_CONFIGURED:
        return 0
    again = Q(state="failed", attempts__lt=ATTEMPTS, claimed_at__lt=now - RETRY_AFTER)
    found = ReportDelivery.objects.filter(Q(state="waiting") | again).select_related("report__team")
    return sum(_send(delivery, now) for delivery in found)


def _send(delivery: ReportDelivery, now: datetime) -> bool:
    """Claim it, so that no other worker sends it, then send."""
    claimed = ReportDelivery.objects.filter(pk=delivery.pk, state=delivery.state, attempts=delivery.attempts)
    if not claimed.update(state="sending", claimed_at=now, attempts=delivery.attempts + 1):
        return False
    try:
        mail_of(delivery.report, delivery.email).send()
    except (OSError, smtplib.SMTPException) as error:
        ReportDelivery.objects.filter(pk=delivery.pk).update(state="failed", error=f"{error}"[:300])
        return False
    ReportDelivery.objects.filter(pk=delivery.pk).update(state="sent", sent_at=now, error="")
    return True


def mail_of(report: Report, email: str) -> EmailMultiAlternatives:
    """The report as text with an HTML alternative."""
    context = {"report": report, "facts": report.facts, "desk_url": settings.DESK_URL.rstrip("/")}
    subject = f"AI cost report: {report}"
    message = EmailMultiAlternatives(subject, render_to_string("budgets/reports/mail.txt", context), to=[email])
    message.attach_alternative(render_to_string("budgets/reports/mail.html", context), "text/html")
    return message


def add_recipient(*, author: Author, team: Team | None, email: str) -> None:
    with transaction.atomic():
        _, fresh = ReportRecipient.objects.get_or_create(team=team, email=email.lower())
        if fresh:
            _audit(author, "report.recipient_added", email.lower(), team, after={"email": email.lower()})


def remove_recipient(*, author: Author, recipient: ReportRecipient) -> None:
    with transaction.atomic():
        _audit(author, "report.recipient_removed", recipient, recipient.team, before={"email": recipient.email})
        recipient.delete()


def add_commitment(*, author: Author, team: Team | None, text: str, owner: str, due_on) -> Commitment:
    with transaction.atomic():
        made = Commitment.objects.create(team=team, text=text, owner=owner, due_on=due_on)
        _audit(author, "commitment.added", made, team, after={"text": text, "owner": owner, "due": str(due_on)})
    return made


def finish_commitment(*, author: Author, commitment: Commitment, now: datetime) -> None:
    """Mark it as done; nothing where it is already."""
    with transaction.atomic():
        if Commitment.objects.filter(pk=commitment.pk, done_at=None).update(done_at=now):
            _audit(author, "commitment.done", commitment, commitment.team, after={"done_at": now.isoformat()})


def _audit(author: Author, action: str, target, team: Team | None, before=None, after=None) -> None:
    audit(
        action=action,
        target=target,
        team=team,
        before=before,
        after=after,
        **author.signature,
    )
