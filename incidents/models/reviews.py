"""What was decided in the weekly operations review."""

from django.db import models
from django.db.models import Q


class ReviewDecision(models.Model):
    """The decision of one section of a week's review, of a team or of all. The audit log keeps earlier ones."""

    class Section(models.TextChoices):
        RELIABILITY = "reliability", "Errors and latency"
        SPEND = "spend", "Spend"
        FAILURES = "failures", "Retries and failures"
        INCIDENTS = "incidents", "Incidents and follow-ups"
        GUARDRAILS = "guardrails", "Guardrails"

    team = models.ForeignKey(
        "accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+", help_text="All, if empty"
    )
    week = models.DateField(help_text="Its Monday, UTC")
    section = models.CharField(max_length=12, choices=Section.choices)
    text = models.TextField(blank=True, help_text="Empty once it was taken back")
    author = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField()
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-week", "section"]
        constraints = [
            models.UniqueConstraint(fields=["team", "week", "section"], name="decision_once", nulls_distinct=False),
            models.CheckConstraint(condition=Q(week__week_day=2), name="decision_of_a_monday"),
        ]

    def __str__(self) -> str:
        return f"{self.week:%G-W%V} {self.get_section_display()}"
