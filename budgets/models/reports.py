"""Weekly cost reports as they were made, who gets them, and what people have promised."""

from django.db import models
from django.db.models import Q


class Report(models.Model):
    """A cost report of a team, or of the organisation, with its facts as they were when it was made.

    A weekly one is of a whole ISO week and made once; one made by hand may be of the running week.
    """

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    week = models.CharField(max_length=8, help_text="ISO week, e.g. 2026-W47")
    is_weekly = models.BooleanField(help_text="Of the whole week, made once; else of its beginning, by hand")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    facts = models.JSONField()
    made_at = models.DateTimeField()
    made_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["-starts_at", "-made_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "week"],
                condition=Q(is_weekly=True),
                name="report_once_a_week",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.team or 'Organisation'}, {self.week}{'' if self.is_weekly else ' so far'}"


class ReportRecipient(models.Model):
    """An address that gets the weekly report of a team, or of the organisation."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    email = models.EmailField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["email"]
        constraints = [
            models.UniqueConstraint(fields=["team", "email"], name="report_recipient_once", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return self.email


class ReportDelivery(models.Model):
    """One report to one address: made with the report, claimed by whoever sends it."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENDING = "sending", "Sending"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"

    report = models.ForeignKey(Report, on_delete=models.CASCADE, related_name="deliveries")
    email = models.EmailField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["email"]
        constraints = [models.UniqueConstraint(fields=["report", "email"], name="report_delivery_once")]

    def __str__(self) -> str:
        return f"{self.report} to {self.email}"


class Commitment(models.Model):
    """Something a person has promised to do about cost, by a day."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    text = models.CharField(max_length=300)
    owner = models.CharField(max_length=100)
    due_on = models.DateField()
    done_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["due_on", "id"]

    def __str__(self) -> str:
        return f"{self.text} ({self.owner}, {self.due_on})"
