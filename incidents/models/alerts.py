"""Alerts: something a person must act on. The source is a kind, a key and a URL, never a foreign key back."""

from django.db import models
from django.db.models import F, Q


class Alert(models.Model):
    """One alert from its first raise to its resolution; a source raises it again while it lasts."""

    class Severity(models.TextChoices):
        INFO = "info", "Info"
        WARNING = "warning", "Warning"
        CRITICAL = "critical", "Critical"

    class Route(models.TextChoices):
        REPORT = "report", "Report"
        TICKET = "ticket", "Ticket"
        PAGE = "page", "Page"

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="alerts")
    source_kind = models.CharField(max_length=40, help_text="What raised it: budget, anomaly, forecast …")
    source_key = models.CharField(max_length=200, help_text="Names the one condition within its kind")
    severity = models.CharField(max_length=10, choices=Severity.choices)
    route = models.CharField(max_length=10, choices=Route.choices)
    title = models.CharField(max_length=200)
    detail = models.TextField(blank=True)
    url = models.CharField(max_length=500, blank=True, help_text="The page that shows what is behind it")
    runbook = models.CharField(max_length=100, help_text="Runbook section to follow, e.g. cost-spike#containment")
    labels = models.JSONField(default=dict, blank=True)
    started_at = models.DateTimeField()
    last_raised_at = models.DateTimeField()
    raised_count = models.PositiveIntegerField(default=1)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(runbook=""), name="alert_has_a_runbook"),
            models.CheckConstraint(
                condition=Q(severity__in=["info", "warning", "critical"]), name="alert_severity_known"
            ),
            models.CheckConstraint(condition=Q(route__in=["report", "ticket", "page"]), name="alert_route_known"),
            models.CheckConstraint(
                condition=Q(resolved_at__isnull=True) | Q(resolved_at__gte=F("started_at")),
                name="alert_resolved_after_start",
            ),
            # One open alert per condition; also finds it for raise and resolve.
            models.UniqueConstraint(
                fields=["source_kind", "source_key"], condition=Q(resolved_at__isnull=True), name="alert_open_once"
            ),
        ]
        indexes = [models.Index(fields=["team", "-started_at"], name="alert_by_team")]  # the list of a team's alerts

    def __str__(self) -> str:
        return self.title

    @property
    def is_firing(self) -> bool:
        return self.resolved_at is None
