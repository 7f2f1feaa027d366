"""Synthetic checks: scripted requests through the critical path, and what came of each."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q


class Canary(models.Model):
    """A request sent again and again, and what its answer must be like. Rows are never deleted, only switched off.

    `due_at` is when it is sent next; who moves it on has taken that run. `failed_in_row`: runs since the last good one.
    """

    class Method(models.TextChoices):
        GET = "GET", "GET"
        POST = "POST", "POST"

    team = models.ForeignKey(
        "accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+", help_text="All, if empty"
    )
    name = models.CharField(max_length=100)
    method = models.CharField(max_length=4, choices=Method.choices, default=Method.POST)
    url = models.CharField(max_length=1000)
    headers_sealed = models.TextField(blank=True, help_text="JSON of name → value, sealed: they hold secrets")
    header_names = models.JSONField(default=list, blank=True)
    body = models.TextField(blank=True)
    every_seconds = models.PositiveIntegerField(
        default=300, validators=[MinValueValidator(30), MaxValueValidator(86_400)]
    )
    timeout_seconds = models.PositiveSmallIntegerField(
        default=20, validators=[MinValueValidator(1), MaxValueValidator(60)]
    )
    expected_status = models.PositiveSmallIntegerField(default=200)
    slowest_ms = models.PositiveIntegerField(null=True, blank=True, help_text="A slower answer fails")
    assertions = models.JSONField(default=list, blank=True, help_text="incidents.rules.canaries.Assertion, as dicts")
    owner = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    is_active = models.BooleanField(default=True)
    version = models.PositiveIntegerField(default=1)
    due_at = models.DateTimeField()
    failed_in_row = models.PositiveIntegerField(default=0)
    last_run_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(every_seconds__gte=30) & Q(every_seconds__lte=86_400), name="canary_interval_sane"
            ),
            models.CheckConstraint(
                condition=Q(timeout_seconds__gte=1) & Q(timeout_seconds__lte=60), name="canary_timeout_sane"
            ),
            models.CheckConstraint(
                condition=Q(expected_status__gte=100) & Q(expected_status__lte=599), name="canary_status_known"
            ),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(is_active=True), name="canary_due")]  # what to send next

    def __str__(self) -> str:
        return self.name


class CanaryRun(models.Model):
    """One run, known by when it was due. `failures`: what was wrong, in words; none is a good run."""

    canary = models.ForeignKey(Canary, on_delete=models.CASCADE, related_name="runs")
    due_at = models.DateTimeField()
    at = models.DateTimeField(help_text="When it was sent")
    ok = models.BooleanField()
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    failures = models.JSONField(default=list, blank=True)
    excerpt = models.CharField(max_length=600, blank=True, help_text="Of the answer, without the check's own secrets")

    class Meta:
        ordering = ["-due_at"]
        constraints = [
            # A run that is told twice counts once; also finds the latest runs of a check.
            models.UniqueConstraint(fields=["canary", "due_at"], name="canary_run_once"),
        ]
        indexes = [models.Index(fields=["at"], name="canary_run_by_age")]  # what to remove

    def __str__(self) -> str:
        return f"{self.canary_id} {self.at:%Y-%m-%d %H:%M:%S} {'ok' if self.ok else 'failed'}"
