"""Providers' limits: how many requests and tokens a minute they take."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower


class ProviderLimit(models.Model):
    """What a provider allows in a minute. An empty model, region or environment: all of them share the limit.

    A team's own limit stands in place of the one of all teams for the same provider, model, region and environment:
    the team has an account of its own. Of several limits that a call counts against, each holds.
    """

    team = models.ForeignKey(
        "accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+", help_text="Empty: all"
    )
    provider = models.CharField(max_length=100)
    model = models.CharField(max_length=200, blank=True)
    region = models.CharField(max_length=100, blank=True)
    environment = models.CharField(max_length=64, blank=True)
    requests_per_minute = models.PositiveBigIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveBigIntegerField(null=True, blank=True)
    note = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["provider", "model", "region", "environment", "team"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "provider", "model", "region", "environment"],
                nulls_distinct=False,
                name="limit_once",
                violation_error_message="There is a limit for this already. Edit that one.",
            ),
            models.CheckConstraint(condition=~Q(provider=""), name="limit_names_a_provider"),
            # They are compared in lower case with what events name.
            models.CheckConstraint(
                condition=Q(provider=Lower(F("provider")), model=Lower(F("model")), region=Lower(F("region"))),
                name="limit_names_lower_case",
            ),
            models.CheckConstraint(
                condition=Q(requests_per_minute__isnull=False) | Q(tokens_per_minute__isnull=False),
                name="limit_says_something",
                violation_error_message="Give the requests per minute, the tokens per minute, or both.",
            ),
            models.CheckConstraint(
                condition=Q(requests_per_minute__isnull=True) | Q(requests_per_minute__gte=1),
                name="limit_requests_positive",
                violation_error_message="Requests per minute must be 1 or more.",
            ),
            models.CheckConstraint(
                condition=Q(tokens_per_minute__isnull=True) | Q(tokens_per_minute__gte=1),
                name="limit_tokens_positive",
                violation_error_message="Tokens per minute must be 1 or more.",
            ),
        ]

    def __str__(self) -> str:
        return " ".join(name for name in (self.provider, self.model, self.region, self.environment) if name)
