"""Controls: what people and policies set to keep a bad day small. The guard reads those in force with every answer."""

from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from usage.models.scopes import CallScope


class Mode(models.TextChoices):
    NORMAL = "normal", "Normal"
    CONSERVE = "conserve", "Conserve"
    EMERGENCY = "emergency", "Emergency"
    BLOCKED = "blocked", "Blocked"


class Control(CallScope):
    """One mode, switch or limit in force over a slice of the calls, from when it was set until it ends or expires.

    Rows are never deleted: together they are the history of who changed what and why.
    """

    class Kind(models.TextChoices):
        MODE = "mode", "Mode"
        KILL_SWITCH = "kill_switch", "Kill switch"
        BREAKER = "breaker", "Circuit breaker"
        FAILOVER = "failover", "Provider failover"
        THROTTLE = "throttle", "Queue throttle"
        RATE_LIMIT = "rate_limit", "Rate limit"

    class Origin(models.TextChoices):
        PERSON = "person", "A person"
        THRESHOLD = "threshold", "A budget threshold"
        BURN_RATE = "burn_rate", "A burn rate"
        INCIDENT = "incident", "An incident"

    kind = models.CharField(max_length=12, choices=Kind.choices)
    tool_name = models.CharField(max_length=200, blank=True, help_text="The tool a kill switch takes away")
    queue_class = models.CharField(
        max_length=10, blank=True, help_text="realtime, batch or backfill: what a throttle slows"
    )
    mode = models.CharField(max_length=10, choices=Mode.choices, blank=True)
    failover_order = ArrayField(
        models.CharField(max_length=200), default=list, blank=True, help_text="Providers in the order to try"
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Of a throttle, which 0 stops, or a rate limit"
    )
    tokens_per_minute = models.PositiveBigIntegerField(null=True, blank=True, help_text="Of a rate limit")
    concurrency = models.PositiveIntegerField(null=True, blank=True, help_text="Of a rate limit: open reservations")
    origin = models.CharField(max_length=10, choices=Origin.choices)
    origin_key = models.CharField(max_length=200, blank=True, help_text="What within the origin, e.g. budget:12:85")
    reason = models.CharField(max_length=500)
    created_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    ended_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="control_has_a_reason"),
            models.CheckConstraint(condition=Q(kind="mode") ^ Q(mode=""), name="control_mode_of_a_mode"),
            models.CheckConstraint(
                condition=~Q(kind="failover") | Q(failover_order__len__gte=1), name="control_failover_has_an_order"
            ),
            models.CheckConstraint(
                condition=~Q(kind="throttle")
                | (Q(queue_class__in=["realtime", "batch", "backfill"]) & Q(requests_per_minute__isnull=False)),
                name="control_throttle_names_class_and_rate",
            ),
            models.CheckConstraint(
                condition=~Q(kind="rate_limit")
                | Q(requests_per_minute__isnull=False)
                | Q(tokens_per_minute__isnull=False)
                | Q(concurrency__isnull=False),
                name="control_rate_limit_limits_something",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=F("created_at")),
                name="control_expires_after_start",
            ),
        ]
        indexes = [
            # What the guard reads: controls not ended. Expiry is compared when read, so it needs no worker.
            models.Index(fields=["kind"], condition=Q(ended_at__isnull=True), name="control_in_force"),
            models.Index(fields=["team", "-created_at"], name="control_by_team"),  # history and chart markers
        ]

    def __str__(self) -> str:
        return f"{self.does}: {self.scope_label}"

    @property
    def does(self) -> str:
        """What it does, in a few words: "Conserve mode", "Kill switch of web_search", "batch at 60 requests/min"."""
        if self.kind == self.Kind.MODE:
            return f"{self.get_mode_display()} mode"
        if self.kind == self.Kind.FAILOVER:
            return f"Failover to {', '.join(self.failover_order)}"
        if self.kind == self.Kind.THROTTLE:
            return f"{self.queue_class} at {self.requests_per_minute} requests/min"
        if self.kind == self.Kind.RATE_LIMIT:
            return f"Rate limit of {', '.join(self._amounts())}"
        return f"{self.get_kind_display()} of {self.tool_name}" if self.tool_name else self.get_kind_display()

    def _amounts(self) -> list[str]:
        amounts = (
            (self.requests_per_minute, "requests/min"),
            (self.tokens_per_minute, "tokens/min"),
            (self.concurrency, "calls at once"),
        )
        return [f"{amount:,} {unit}" for amount, unit in amounts if amount is not None]

    def is_in_force(self, now: datetime) -> bool:
        return self.ended_at is None and (self.expires_at is None or self.expires_at > now)


class ControlVersion(models.Model):
    """One row: grows with every change of a control or a policy, so that each process knows when to reload."""

    version = models.BigIntegerField(default=1)

    def __str__(self) -> str:
        return f"version {self.version}"


class ModePolicy(models.Model):
    """What a mode means for a feature: empty feature is the default of the team, empty team that of everybody."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    feature = models.CharField(max_length=100, blank=True)
    mode = models.CharField(max_length=10, choices=Mode.choices)
    max_output_tokens = models.PositiveIntegerField(null=True, blank=True, help_text="Cap on output; empty: none")
    max_context_tokens = models.PositiveIntegerField(null=True, blank=True, help_text="Cap on input; empty: none")
    top_k = models.PositiveIntegerField(null=True, blank=True, help_text="Documents to retrieve; empty: as asked")
    model_map = models.JSONField(default=dict, blank=True, help_text='Model asked for → model to use; "*" for any')
    tools_off = ArrayField(models.CharField(max_length=200), default=list, blank=True, help_text='"*" is every tool')
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["team_id", "feature", "mode"]
        constraints = [
            models.UniqueConstraint(fields=["team", "feature", "mode"], name="policy_once", nulls_distinct=False),
            models.CheckConstraint(condition=Q(mode__in=["conserve", "emergency"]), name="policy_of_a_milder_mode"),
        ]

    def __str__(self) -> str:
        return f"{self.mode} of {self.feature or 'every feature'}"
