"""The optimisation backlog: ideas with what they save, cost and risk."""

from decimal import Decimal

from django.db import models
from django.db.models import Q


class BacklogItem(models.Model):
    """One idea. ROI = expected monthly saving / effort, USD a month by engineer-week.

    source: names the suggestion it was accepted from, with `arithmetic` as it was then; empty for a person's idea.
    """

    class Risk(models.TextChoices):
        LOW = "low", "Low"
        MEDIUM = "medium", "Medium"
        HIGH = "high", "High"

    class State(models.TextChoices):
        IDEA = "idea", "Idea"
        PLANNED = "planned", "Planned"
        DOING = "doing", "Doing"
        DONE = "done", "Done"
        DROPPED = "dropped", "Dropped"

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    idea = models.CharField(max_length=200)
    monthly_saving = models.DecimalField("expected saving, USD a month", max_digits=18, decimal_places=2)
    effort_weeks = models.DecimalField("effort, engineer-weeks", max_digits=6, decimal_places=2)
    quality_risk = models.CharField(max_length=6, choices=Risk.choices, default=Risk.MEDIUM)
    validation_plan = models.TextField(blank=True, help_text="How it is shown that quality holds")
    owner = models.CharField(max_length=100, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.IDEA)
    source = models.CharField(max_length=300, blank=True)
    arithmetic = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated_at"]
        constraints = [
            models.CheckConstraint(condition=Q(effort_weeks__gt=0), name="backlog_item_takes_effort"),
            models.CheckConstraint(condition=Q(monthly_saving__gte=0), name="backlog_item_saves"),
            models.UniqueConstraint(
                fields=["team", "source"], condition=~Q(source=""), name="backlog_suggestion_accepted_once"
            ),
        ]

    def __str__(self) -> str:
        return self.idea

    @property
    def roi(self) -> Decimal:
        """USD a month by engineer-week."""
        return self.monthly_saving / self.effort_weeks
