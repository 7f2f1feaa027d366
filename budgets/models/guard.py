"""The guard's ledger: what each budget period holds, the reservations that are open, and the counters of rate limits.

Hot rows are changed by the functions of migration `guard_functions` only, each in one statement.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from budgets.models.budgets import Budget
from usage.models.scopes import CallScope


def _amount(**more) -> models.DecimalField:
    """USD, tokens or requests, to the last unit of cost that is kept."""
    return models.DecimalField(max_digits=30, decimal_places=12, **more)


class GuardVersion(models.Model):
    """One row: grows with every change of a budget, grant, rate limit or set of periods (by trigger), so that each
    process knows when to reload what it remembers."""

    version = models.BigIntegerField(default=1)

    def __str__(self) -> str:
        return f"version {self.version}"


class BudgetPeriod(models.Model):
    """What one budget has used in one period, in its unit: used = settled + metered, left = limit + carried + grants −
    used − reserved."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="periods")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reserved = _amount(default=0, help_text="Of holds that are open or expired but not swept yet")
    settled = _amount(default=0, help_text="What guarded calls used")
    metered = _amount(default=0, help_text="What events that name no reservation used")
    metered_at = models.DateTimeField()
    unknown_calls = models.PositiveIntegerField(default=0, help_text="Metered calls whose cost is not known")
    carried = _amount(default=0, help_text="Rolled over from the period before")
    opened_at = models.DateTimeField(
        db_default=Now(), help_text="What holds made before it, and not naming it, were then is in it"
    )

    class Meta:
        ordering = ["budget_id", "starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["budget", "starts_at"], name="budget_period_once"),
            models.CheckConstraint(condition=Q(reserved__gte=0), name="budget_period_reserved_not_negative"),
            models.CheckConstraint(condition=Q(settled__gte=0), name="budget_period_settled_not_negative"),
        ]
        indexes = [
            models.Index(fields=["ends_at"], name="budget_period_by_end"),  # those the meter refreshes
            models.Index(fields=["opened_at"], name="budget_period_by_opening"),  # those opened after a hold was made
        ]

    def __str__(self) -> str:
        return f"{self.budget} from {self.starts_at:%Y-%m-%d %H:%M}"

    @property
    def used(self):
        return self.settled + self.metered


class Hold(models.Model):
    """One reservation. `amounts` are what it holds of the budget periods `period_ids`, `booked` what it was settled
    with there, each in that budget's unit.

    Once settled, the cost is that of the usage events naming it where there are any, else what the client said, else
    the estimate. It has no foreign keys: a row of it is written with every call.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        SETTLED = "settled", "Settled"
        RELEASED = "released", "Released"
        EXPIRED = "expired", "Expired"

    id = models.UUIDField(primary_key=True)
    team = models.ForeignKey(
        "accounts.Team", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    api_key_id = models.BigIntegerField()
    digest = models.BigIntegerField(null=True, help_text="Of the request, where it had an idempotency key")
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    feature = models.CharField(max_length=100, blank=True)
    tenant = models.CharField(max_length=200, blank=True)
    environment = models.CharField(max_length=64, blank=True)
    user_hash = models.CharField(max_length=128, blank=True)
    cost_center = models.CharField(max_length=100, blank=True)
    asked_model = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=100, blank=True, help_text="Granted")
    model = models.CharField(max_length=200, blank=True, help_text="Granted")
    mode = models.CharField(max_length=10)
    decision = models.CharField(max_length=8)
    code = models.CharField(max_length=40)
    input_tokens = models.BigIntegerField(null=True, help_text="Estimated; empty: not known")
    output_tokens = models.BigIntegerField(help_text="Reserved")
    estimate_usd = _amount(null=True)
    period_ids = ArrayField(models.BigIntegerField())
    units = ArrayField(models.CharField(max_length=8))
    amounts = ArrayField(_amount())
    booked = ArrayField(_amount(), default=list)
    rate_keys = ArrayField(models.CharField(max_length=40))
    client_settled_at = models.DateTimeField(null=True)
    client_usd = _amount(null=True)
    client_tokens = models.BigIntegerField(null=True)
    event_usd = _amount(default=0)
    event_tokens = models.BigIntegerField(default=0)
    event_calls = models.IntegerField(default=0)
    event_count = models.IntegerField(default=0)
    event_unknown = models.IntegerField(default=0, help_text="Events among them whose cost is not known")
    cost_usd = _amount(null=True, help_text="What it was settled with; empty: not settled, or not known")

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            # Open holds by expiry: the sweeper, and what is still counted as reserved though it has expired.
            models.Index(fields=["expires_at"], condition=Q(state="open"), name="hold_open_by_expiry"),
            models.Index(fields=["team", "-created_at"], name="hold_by_team"),  # the guard page; removal of old ones
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def overrun_usd(self):
        """How much more than estimated it cost, USD; None where either is unknown."""
        if self.cost_usd is None or self.estimate_usd is None:
            return None
        return max(self.cost_usd - self.estimate_usd, 0)


class StrayEvent(models.Model):
    """A usage event that names a reservation nobody has: a mistyped one, another team's, or one removed long ago.

    It is no part of what is metered, so budgets have settled it by its own facts. Kept as long as holds are.
    """

    pk = models.CompositePrimaryKey("team_id", "occurred_at", "event_id")
    team_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    event_id = models.TextField(db_collation="C")
    feature = models.TextField()
    tenant = models.TextField()
    environment = models.TextField()
    user_hash = models.TextField()
    provider = models.TextField()
    model = models.TextField()
    cost_center = models.TextField()
    usd = _amount(help_text="0 where its cost is not known")
    tokens = models.BigIntegerField()
    requests = models.IntegerField()

    class Meta:
        indexes = [models.Index(fields=["occurred_at"], name="stray_event_by_time")]

    def __str__(self) -> str:
        return self.event_id


class RateLimit(CallScope):
    """Requests and tokens within any minute, and calls at once, that a slice of the calls may have."""

    name = models.CharField(max_length=100)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: no limit")
    tokens_per_minute = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Input and output as estimated; empty: no limit"
    )
    concurrency = models.PositiveIntegerField(null=True, blank=True, help_text="Open reservations; empty: no limit")
    note = models.CharField(max_length=500, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(requests_per_minute__isnull=False)
                | Q(tokens_per_minute__isnull=False)
                | Q(concurrency__isnull=False),
                name="rate_limit_limits_something",
            ),
            models.UniqueConstraint(
                fields=["team", "name"], condition=Q(is_active=True), name="rate_limit_name_once", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return self.name


class RateCounter(models.Model):
    """What a rate limit or a throttle has let through, second by second over the last minute (place = second % 60)."""

    key = models.CharField(primary_key=True, max_length=40, help_text="limit:ID or throttle:ID of the control")
    second = models.BigIntegerField(default=0, help_text="The latest second counted, of the Unix epoch")
    requests = ArrayField(models.BigIntegerField(), size=60)
    tokens = ArrayField(models.BigIntegerField(), size=60)
    in_flight = models.IntegerField(default=0, help_text="Holds that are open or expired but not swept yet")

    def __str__(self) -> str:
        return self.key


class GuardCount(models.Model):
    """How often the guard denied or degraded, per minute; `slot` spreads one busy minute over several rows."""

    pk = models.CompositePrimaryKey("team_id", "minute", "budget_id", "decision", "code", "slot")
    team_id = models.BigIntegerField()
    minute = models.DateTimeField()
    budget_id = models.BigIntegerField(help_text="The budget that decided; 0: none did")
    decision = models.CharField(max_length=8)
    code = models.CharField(max_length=40)
    slot = models.SmallIntegerField()
    count = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.count} × {self.decision}: {self.code}"


class OutputStatistic(models.Model):
    """How long answers are: the 95th percentile of output tokens of a feature and model. Empty: of all of them."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="+")
    feature = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=200, blank=True)
    p95 = models.PositiveIntegerField()
    calls = models.PositiveIntegerField()
    measured_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "feature", "model"], name="output_statistic_once")]

    def __str__(self) -> str:
        return f"{self.feature or 'every feature'}, {self.model or 'every model'}: {self.p95}"
