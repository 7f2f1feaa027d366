"""Service level objectives."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from usage.models.scopes import CallScope


class Slo(CallScope):
    """A share of good requests (or calls) over a rolling window that a slice of the traffic is to reach.

    `limit` says what is good where the indicator needs one: milliseconds of a latency, USD per conversation of a spend,
    a score of a quality objective.
    """

    class Indicator(models.TextChoices):
        SUCCESS = "success", "Successful requests"
        LATENCY = "latency", "Requests faster than a limit"
        QUALITY = "quality", "Answers without a quality problem"
        SPEND = "spend", "Spend within a rate"

    name = models.CharField(max_length=100)
    indicator = models.CharField(max_length=10, choices=Indicator.choices)
    limit = models.DecimalField(max_digits=18, decimal_places=6, null=True, blank=True)
    target = models.DecimalField(
        max_digits=7, decimal_places=6, validators=[MinValueValidator(0), MaxValueValidator(1)], help_text="E.g. 0.999"
    )
    window_days = models.PositiveSmallIntegerField(default=30)
    min_events = models.PositiveIntegerField(default=100, help_text="Fewer in a burn window: no burn alert")
    exclusions = models.JSONField(default=dict, blank=True, help_text="Dimension → values that do not count")
    owner = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    note = models.TextField(blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(target__gt=0) & Q(target__lt=1), name="slo_target_a_share"),
            models.CheckConstraint(condition=Q(window_days__gte=1) & Q(window_days__lte=90), name="slo_window_known"),
            models.CheckConstraint(
                condition=~Q(indicator__in=["latency", "spend"]) | Q(limit__gt=0), name="slo_limit_where_needed"
            ),
        ]

    def __str__(self) -> str:
        return self.name
