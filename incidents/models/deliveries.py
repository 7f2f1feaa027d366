"""The outbox: one row per notification and channel, written with what caused it, sent by a worker afterwards."""

from django.db import models
from django.db.models import Q

from incidents.models.alerts import Alert


class Delivery(models.Model):
    """One message to one channel: waiting → sending → sent, or failed after its attempts.

    Sent at least once: who dies while sending leaves a lease that ends. `key` makes it one row however often it is
    asked for; its id goes out with every attempt, so that a receiver shows it once.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENDING = "sending", "Sending"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        DIGESTED = "digested", "In a digest"
        DROPPED = "dropped", "Dropped"

    channel = models.ForeignKey("incidents.Channel", on_delete=models.CASCADE, related_name="deliveries")
    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=30, help_text="alert, resolved, incident, message, page, test, digest …")
    severity = models.CharField(max_length=10, choices=Alert.Severity.choices)
    route = models.CharField(max_length=10, choices=Alert.Route.choices)
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    url = models.CharField(max_length=500, blank=True)
    key = models.CharField(max_length=200)
    incident = models.ForeignKey(
        "incidents.Incident", on_delete=models.SET_NULL, null=True, blank=True, related_name="deliveries"
    )
    alert_group = models.ForeignKey(
        "incidents.AlertGroup", on_delete=models.SET_NULL, null=True, blank=True, related_name="deliveries"
    )
    happened_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    due_at = models.DateTimeField(help_text="Waiting: no earlier; sending: when its lease ends")
    claim = models.UUIDField(null=True, blank=True, help_text="Of the sender that has it")
    attempts = models.PositiveSmallIntegerField(default=0)
    attempted_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    digest = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="members")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["channel", "key"], name="delivery_once"),
            models.CheckConstraint(condition=Q(severity__in=Alert.Severity.values), name="delivery_severity_known"),
            models.CheckConstraint(condition=Q(route__in=Alert.Route.values), name="delivery_route_known"),
            models.CheckConstraint(
                condition=~Q(state="sending") | Q(claim__isnull=False), name="delivery_sending_is_claimed"
            ),
        ]
        indexes = [
            # What a sender looks for, every few seconds.
            models.Index(
                fields=["due_at", "channel"], condition=Q(state__in=["waiting", "sending"]), name="delivery_due"
            ),
            models.Index(fields=["channel", "-attempted_at"], name="delivery_by_channel"),  # how many in this minute
            models.Index(fields=["team", "-id"], name="delivery_by_team"),  # the log of a team
        ]

    def __str__(self) -> str:
        return f"{self.title} → {self.channel}"
