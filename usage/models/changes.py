"""Change markers: what was changed and when, drawn on every time chart."""

from django.db import models
from django.db.models import Q


class ChangeMarker(models.Model):
    """A deploy, prompt, model, retrieval, routing, policy or flag change."""

    class Kind(models.TextChoices):
        DEPLOY = "deploy", "Deploy"
        PROMPT = "prompt", "Prompt"
        MODEL = "model", "Model"
        RETRIEVAL = "retrieval", "Retrieval config"
        ROUTING = "routing", "Routing"
        POLICY = "policy", "Policy"
        FLAG = "flag", "Feature flag"
        PRICE = "price", "Price"

    team = models.ForeignKey(
        "accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="changes", help_text="Empty: all"
    )
    at = models.DateTimeField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    ref = models.CharField(max_length=200, blank=True, help_text="Release, prompt version, flag name …")
    environment = models.CharField(max_length=64, blank=True)
    service = models.CharField(max_length=100, blank=True)
    feature = models.CharField(max_length=100, blank=True)
    url = models.URLField(max_length=500, blank=True)
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)
    created_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["team", "-at"], name="change_by_team")]  # markers of a chart's window
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["deploy", "prompt", "model", "retrieval", "routing", "policy", "flag", "price"]),
                name="change_kind_known",
            ),
            models.UniqueConstraint(fields=["team", "idempotency_key"], name="change_once"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.title}"
