"""Service level objectives."""

from datetime import timedelta

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from usage.models.scopes import CallScope


class Slo(CallScope):
    """A share of good units over a rolling window that a slice of the traffic is to reach.

    Success: answered requests of those answered or failed. Latency: answered requests faster than `limit` ms.
    Quality: checks passed of the checks named. Spend: hours with traffic in which it stayed within `limit` USD `per`
    hour, conversation or request. With a provider or model, model calls take the place of requests.
    """

    class Indicator(models.TextChoices):
        SUCCESS = "success", "Successful requests"
        LATENCY = "latency", "Requests faster than a limit"
        QUALITY = "quality", "Quality checks passed"
        SPEND = "spend", "Hours of spend within a limit"

    class Per(models.TextChoices):
        HOUR = "hour", "hour"
        CONVERSATION = "conversation", "conversation"
        REQUEST = "request", "request"

    class Check(models.TextChoices):
        REFUSAL = "refusal", "Not refused"
        POLICY = "policy", "No policy hit"
        SCHEMA = "schema", "Schema met"

    name = models.CharField(max_length=100)
    indicator = models.CharField(max_length=10, choices=Indicator.choices)
    limit = models.DecimalField(max_digits=18, decimal_places=6, null=True, blank=True)
    per = models.CharField(
        max_length=12, choices=Per.choices, blank=True, help_text="Of a spend: what the limit is for"
    )
    checks = models.JSONField(default=list, blank=True, help_text="Of a quality: which checks count; empty: all")
    target = models.DecimalField(
        max_digits=7, decimal_places=6, validators=[MinValueValidator(0), MaxValueValidator(1)], help_text="E.g. 0.999"
    )
    window_days = models.PositiveSmallIntegerField(default=30)
    min_events = models.PositiveIntegerField(default=100, help_text="Fewer in a burn window: no burn alert")
    exclusions = models.JSONField(default=dict, blank=True, help_text="Dimension → values that do not count")
    owner = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    note = models.TextField(blank=True)
    is_active = models.BooleanField(default=True, help_text="No once archived")
    version = models.PositiveIntegerField(default=1)
    shipped_as = models.CharField(max_length=40, blank=True, help_text="Its name among those that came with the desk")
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
            models.CheckConstraint(condition=~Q(indicator="spend") | ~Q(per=""), name="slo_spend_says_per_what"),
            models.CheckConstraint(condition=Q(user_hash=""), name="slo_of_no_single_user"),
            models.UniqueConstraint(fields=["shipped_as"], condition=~Q(shipped_as=""), name="slo_shipped_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def window(self) -> timedelta:
        return timedelta(days=self.window_days)

    @property
    def counts_calls(self) -> bool:
        """An entry event names no provider or model, so with one of them model calls are counted."""
        return bool(self.provider or self.model)
