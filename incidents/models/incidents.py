"""Incidents: what is wrong, who works on it, and everything that happened, in order."""

from django.db import models
from django.db.models import Q


class FailureMode(models.TextChoices):
    """What is broken (DOMAIN: failure modes)."""

    PROVIDER = "provider", "Provider outage or degradation"
    RATE_LIMIT = "rate_limit", "Rate limiting"
    RETRIEVAL = "retrieval", "Retrieval failure"
    PROMPT = "prompt", "Prompt regression"
    MODEL = "model", "Model change"
    TOOL = "tool", "Tool or integration failure"
    SAFETY = "safety", "Safety or data leak"
    COST = "cost", "Cost runaway"
    DATA_DRIFT = "data_drift", "Data drift"
    APPLICATION = "application", "Application change"
    OTHER = "other", "Other"


class Incident(models.Model):
    """One incident. `team` empty: the organisation's. Its number is its id: INC-12.

    `scope`: dimension → values, the slice of the traffic it is about; with `impact_started_at` it gives every figure of
    the incident. `version` grows with every edit, so that two people never overwrite each other unseen.
    """

    class Severity(models.IntegerChoices):
        SEV1 = 1, "SEV1"
        SEV2 = 2, "SEV2"
        SEV3 = 3, "SEV3"
        SEV4 = 4, "SEV4"

    class State(models.TextChoices):
        DECLARED = "declared", "Declared"
        TRIAGING = "triaging", "Triaging"
        MITIGATING = "mitigating", "Mitigating"
        MONITORING = "monitoring", "Monitoring"
        RESOLVED = "resolved", "Resolved"
        LEARNED = "learned", "Learned"

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="incidents")
    title = models.CharField(max_length=200)
    summary = models.TextField(blank=True)
    severity = models.PositiveSmallIntegerField(choices=Severity.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DECLARED)
    failure_mode = models.CharField(
        max_length=15, choices=FailureMode.choices, blank=True, help_text="Empty: not known"
    )
    scope = models.JSONField(default=dict, blank=True)
    is_private = models.BooleanField(default=False, help_text="Security: only its roles, security and admins see it")
    is_drill = models.BooleanField(default=False)
    source_kind = models.CharField(max_length=40, blank=True, help_text="What declared it: rule, alert, person, drill")
    source_key = models.CharField(max_length=200, blank=True)
    impact_started_at = models.DateTimeField()
    detected_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    mitigated_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    learned_at = models.DateTimeField(null=True, blank=True)
    next_update_at = models.DateTimeField(null=True, blank=True, help_text="When people were promised news")
    merged_into = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="merged")
    part_of = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="parts",
        help_text="The organisation's incident of the same cause",
    )
    declared_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-detected_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(severity__in=[1, 2, 3, 4]), name="incident_severity_known"),
            models.CheckConstraint(
                condition=Q(state__in=["resolved", "learned"]) ^ Q(resolved_at__isnull=True),
                name="incident_resolved_has_a_time",
            ),
            # One open incident of one machine source: two workers that declare make one.
            models.UniqueConstraint(
                fields=["source_kind", "source_key"],
                condition=Q(resolved_at__isnull=True) & ~Q(source_key=""),
                name="incident_open_once",
            ),
        ]
        indexes = [models.Index(fields=["team", "-detected_at"], name="incident_by_team")]  # list and chart marks

    def __str__(self) -> str:
        return f"{self.number} {self.title}"

    @property
    def number(self) -> str:
        return f"INC-{self.pk}"

    @property
    def is_open(self) -> bool:
        return self.resolved_at is None


class IncidentRole(models.Model):
    """Who has a role in an incident, from when to when."""

    class Role(models.TextChoices):
        COMMANDER = "commander", "Commander"
        COMMUNICATIONS = "communications", "Communications"
        OPERATIONS = "operations", "Operations"
        SCRIBE = "scribe", "Scribe"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="roles")
    role = models.CharField(max_length=15, choices=Role.choices)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")
    since = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["role", "since"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "role"], condition=Q(until__isnull=True), name="incident_role_one_holder"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()}: {self.user}"


class TimelineEntry(models.Model):
    """Something that happened, written by the desk or by a person. Never changed; a mistake is struck out."""

    class Kind(models.TextChoices):
        DECLARED = "declared", "Declared"
        ALERT = "alert", "Alert"
        STATE = "state", "State"
        ROLE = "role", "Role"
        CHANGE = "change", "Change"
        MITIGATION = "mitigation", "Mitigation"
        TRIAGE = "triage", "Triage"
        MESSAGE = "message", "Message"
        RUNBOOK = "runbook", "Runbook step"
        EVIDENCE = "evidence", "Evidence"
        NOTE = "note", "Note"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="timeline")
    at = models.DateTimeField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    text = models.TextField()
    url = models.CharField(max_length=500, blank=True)
    data = models.JSONField(default=dict, blank=True, help_text="Figures behind it, e.g. a frozen chart")
    author = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    source_key = models.CharField(max_length=200, blank=True, help_text="Of the desk's own entries: written once")
    struck_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "source_key"], condition=~Q(source_key=""), name="timeline_entry_once"
            )
        ]
        indexes = [models.Index(fields=["incident", "-at", "-id"], name="timeline_of_incident")]  # pages of entries

    def __str__(self) -> str:
        return self.text

    @property
    def by(self) -> str:
        """Who wrote it: a person, the key of a program, else the desk."""
        return str(self.author) if self.author else self.data.get("by", "the desk")
