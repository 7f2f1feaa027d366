"""Runbooks: what to do, in six sections that every runbook has, versioned."""

from django.db import models
from django.db.models import Q


class SectionKind(models.TextChoices):
    """The six sections of a runbook, in the order of a bad day (DOMAIN: runbook)."""

    DETECTION = "detection", "Detection signal"
    CONTAINMENT = "containment", "Immediate containment"
    MITIGATION = "mitigation", "Mitigation"
    VALIDATION = "validation", "Validation checks"
    COMMUNICATION = "communication", "Communication plan"
    FOLLOW_UP = "follow_up", "Follow-up"


class Runbook(models.Model):
    """One runbook; its text is that of its latest version. Never deleted: alerts and incidents name it by its slug."""

    team = models.ForeignKey(
        "accounts.Team",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="runbooks",
        help_text="Or all",
    )
    slug = models.SlugField(max_length=60, unique=True)
    title = models.CharField(max_length=200)
    failure_mode = models.CharField(max_length=30, blank=True, help_text="The failure mode it is for")
    owner = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    review_by = models.DateField(null=True, blank=True)
    is_shipped = models.BooleanField(default=False, help_text="Came with the desk")
    archived_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1, help_text="Number of the latest version")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["title"]

    def __str__(self) -> str:
        return self.title


class RunbookSection(models.Model):
    """One of the six sections of a runbook: what alert rules point to. Its text stands in the versions."""

    runbook = models.ForeignKey(Runbook, on_delete=models.CASCADE, related_name="sections")
    kind = models.CharField(max_length=15, choices=SectionKind.choices)

    class Meta:
        ordering = ["runbook_id", "id"]
        constraints = [
            models.UniqueConstraint(fields=["runbook", "kind"], name="section_once"),
            models.CheckConstraint(condition=Q(kind__in=SectionKind.values), name="section_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.runbook}: {self.get_kind_display()}"

    @property
    def key(self) -> str:
        """How an alert names it, e.g. "cost-spike#containment"."""
        return f"{self.runbook.slug}#{self.kind}"


class RunbookVersion(models.Model):
    """The text of a runbook at one time: Markdown by section kind, all six. Rows are never changed."""

    runbook = models.ForeignKey(Runbook, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=200)
    sections = models.JSONField(help_text="Section kind → Markdown")
    note = models.CharField(max_length=500, blank=True, help_text="Why it was changed")
    is_shipped = models.BooleanField(default=False, help_text="The desk's own text: an upgrade may follow it")
    author = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["runbook_id", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["runbook", "number"], name="runbook_version_once"),
            models.CheckConstraint(
                condition=Q(sections__has_keys=SectionKind.values), name="runbook_version_has_six_sections"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title}, version {self.number}"


class RunbookRun(models.Model):
    """A runbook being followed, in an incident or without one. It stays with the version it was started with."""

    runbook = models.ForeignKey(Runbook, on_delete=models.CASCADE, related_name="runs")
    version = models.ForeignKey(RunbookVersion, on_delete=models.CASCADE, related_name="+")
    incident = models.ForeignKey(
        "incidents.Incident", on_delete=models.CASCADE, null=True, blank=True, related_name="runbook_runs"
    )
    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    started_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    is_drill = models.BooleanField(default=False, help_text="In a drill: last drilled, not last used")

    class Meta:
        ordering = ["-started_at", "-id"]
        constraints = [
            # Two people who start it at once follow the same run.
            models.UniqueConstraint(
                fields=["incident", "runbook"],
                condition=Q(finished_at__isnull=True, incident__isnull=False),
                name="runbook_run_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.runbook}, followed"


class StepTick(models.Model):
    """A step that somebody ticked; taking it back keeps the row. `key` is "section:n" in the run's version."""

    run = models.ForeignKey(RunbookRun, on_delete=models.CASCADE, related_name="ticks")
    key = models.CharField(max_length=30)
    text = models.CharField(max_length=500)
    done_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    done_at = models.DateTimeField()
    undone_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["done_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "key"], condition=Q(undone_at__isnull=True), name="runbook_step_ticked_once"
            )
        ]

    def __str__(self) -> str:
        return self.text
