"""What the public status page is about."""

from django.db import models


class StatusComponent(models.Model):
    """A part of the product as its users know it, and the slice of the traffic that it stands for.

    Its name and description are public; team and filters are not.
    """

    name = models.CharField(max_length=80, unique=True)
    description = models.CharField(max_length=200, blank=True)
    position = models.PositiveSmallIntegerField(default=0, help_text="Smaller ones stand higher")
    team = models.ForeignKey(
        "accounts.Team",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: every team",
    )
    filters = models.JSONField(default=dict, blank=True, help_text="Dimension → values; empty: all calls")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name
