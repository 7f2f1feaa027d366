"""What people are told about an incident."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Message(models.Model):
    """One message: drafted from facts, reviewed, sent. What was sent is never changed."""

    class Kind(models.TextChoices):
        INTERNAL = "internal", "Internal update"
        STATUS = "status", "Status page"
        EXECUTIVE = "executive", "Executive summary"
        CUSTOMER = "customer", "Customer note"

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        REVIEW = "review", "In review"
        APPROVED = "approved", "Approved"
        SENT = "sent", "Sent"
        DISCARDED = "discarded", "Discarded"

    incident = models.ForeignKey("incidents.Incident", on_delete=models.CASCADE, related_name="messages")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    subject = models.CharField(max_length=200)
    body = models.TextField(max_length=10_000)
    next_update_minutes = models.PositiveIntegerField(null=True, blank=True, help_text="Promised with it; empty: none")
    to_channels = models.BooleanField(default=True, help_text="Notification channels of the team")
    recipients = ArrayField(models.EmailField(), default=list, blank=True, help_text="Who gets it by e-mail")
    author = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, related_name="+")
    approved_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    sent_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    sent_at = models.DateTimeField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True)
    mail_failure = models.CharField(max_length=300, blank=True)
    mail_attempts = models.PositiveSmallIntegerField(default=0)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(state="sent") ^ Q(sent_at__isnull=True), name="message_sent_has_a_time"),
            models.CheckConstraint(
                condition=Q(kind__in=["internal", "status", "executive", "customer"]), name="message_kind_known"
            ),
        ]
        indexes = [
            # What the public status page shows.
            models.Index(fields=["-sent_at"], condition=Q(kind="status", state="sent"), name="message_public"),
        ]

    def __str__(self) -> str:
        return self.subject
