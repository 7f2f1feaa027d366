"""Groups of a showback whose cost the others bear."""

from django.db import models
from django.db.models import Q


class SharedCost(models.Model):
    """One value of a dimension (a platform team, a shared cost centre) that is split over the other values."""

    class Dimension(models.TextChoices):
        TEAM = "team", "Team"
        FEATURE = "feature", "Feature"
        TENANT = "tenant", "Tenant"
        COST_CENTER = "cost_center", "Cost centre"

    class Method(models.TextChoices):
        EVEN = "even", "Evenly"
        SPEND = "spend", "By spend"
        REQUESTS = "requests", "By requests"

    dimension = models.CharField(max_length=12, choices=Dimension.choices)
    value = models.CharField(max_length=200, help_text="As the table names it; a team by its short name")
    method = models.CharField(max_length=8, choices=Method.choices, default=Method.SPEND)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["dimension", "value"]
        constraints = [
            models.UniqueConstraint(fields=["dimension", "value"], name="shared_cost_once"),
            models.CheckConstraint(
                condition=Q(method__in=["even", "spend", "requests"]), name="shared_cost_method_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_dimension_display()} {self.value}, split {self.get_method_display().lower()}"
