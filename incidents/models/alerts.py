"""Alerts: something a person must act on. The source is a kind, a key and a URL, never a foreign key back."""

from django.db import models
from django.db.models import F, Q

from usage.measures import DRILL_ENVIRONMENT


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
    rule = models.ForeignKey(
        "incidents.AlertRule", on_delete=models.SET_NULL, null=True, blank=True, related_name="alerts"
    )
    group = models.ForeignKey(
        "incidents.AlertGroup", on_delete=models.SET_NULL, null=True, blank=True, related_name="alerts"
    )
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        "accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    muted_by = models.CharField(max_length=200, blank=True, help_text="Why nobody is told: silence, parent, flapping")
    learnt_at = models.DateTimeField(
        null=True, blank=True, help_text="Of one whose events came when it was over: when it was learnt"
    )
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
        indexes = [
            models.Index(fields=["team", "-started_at"], name="alert_by_team"),  # the list of a team's alerts
            # Which episodes of a sender's alert are known, with those that ended.
            models.Index(fields=["source_kind", "source_key", "-started_at"], name="alert_by_source"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_firing(self) -> bool:
        return self.resolved_at is None

    @property
    def is_drill(self) -> bool:
        """Whether it is about the telemetry of a drill."""
        return self.labels.get("environment") == DRILL_ENVIRONMENT


class AlertGroup(models.Model):
    """Alerts of one cause: one notification, and at most one incident. Open while one of its alerts fires."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    key = models.CharField(max_length=300, help_text="What its alerts have in common")
    title = models.CharField(max_length=200)
    severity = models.CharField(max_length=10, choices=Alert.Severity.choices)
    route = models.CharField(max_length=10, choices=Alert.Route.choices)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    notified_severity = models.CharField(max_length=10, choices=Alert.Severity.choices, blank=True)
    notified_route = models.CharField(max_length=10, choices=Alert.Route.choices, blank=True)
    notified_at = models.DateTimeField(null=True, blank=True, help_text="When people were told; empty: not told")
    incident = models.ForeignKey(
        "incidents.Incident", on_delete=models.SET_NULL, null=True, blank=True, related_name="alert_groups"
    )

    class Meta:
        ordering = ["-opened_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "key"],
                condition=Q(closed_at__isnull=True),
                name="alert_group_open_once",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return self.title
