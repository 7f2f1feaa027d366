"""Own and negotiated prices, laid over the catalogue of the genai-prices package."""

from decimal import Decimal

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value
from django.utils import timezone


def _rate(label: str) -> models.DecimalField:
    return models.DecimalField(label, max_digits=18, decimal_places=9, null=True, blank=True)


class Price(models.Model):
    """A dated price of one model, in USD per million tokens (`request_usd`: USD per call).

    A team's own price wins over one for all teams, one for a region over one for any, and both win over the
    catalogue. `valid_from` is inclusive, `valid_to` exclusive, open where empty.
    """

    team = models.ForeignKey(
        "accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="prices", help_text="Empty: all"
    )
    provider = models.CharField(max_length=100, blank=True, help_text="As events name it; empty: they name none")
    model = models.CharField(max_length=200)
    region = models.CharField(max_length=100, blank=True, help_text="Empty: any region")
    tier = models.CharField(max_length=20, blank=True, help_text="Service tier such as batch or priority; empty: any")
    input_mtok = _rate("input, USD per 1M tokens")
    cached_input_mtok = _rate("cached input, USD per 1M tokens")
    cache_write_mtok = _rate("cache write, USD per 1M tokens")
    output_mtok = _rate("output, USD per 1M tokens")
    reasoning_mtok = _rate("reasoning, USD per 1M tokens")
    request_usd = _rate("per call, USD")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["provider", "model", "-valid_from"]
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gt=F("valid_from")), name="price_ends_after_it_starts"
            ),
            models.CheckConstraint(
                condition=Q(input_mtok__isnull=False) | Q(output_mtok__isnull=False) | Q(request_usd__isnull=False),
                name="price_has_a_rate",
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{rate}__isnull": True}) | Q(**{f"{rate}__gte": 0}),
                    name=f"price_{rate}_not_negative",
                )
                for rate in (
                    "input_mtok",
                    "cached_input_mtok",
                    "cache_write_mtok",
                    "output_mtok",
                    "reasoning_mtok",
                    "request_usd",
                )
            ),
            ExclusionConstraint(
                name="price_one_at_a_time",
                expressions=[
                    (Func(F("team"), Value(0), function="coalesce"), RangeOperators.EQUAL),
                    ("provider", RangeOperators.EQUAL),
                    ("model", RangeOperators.EQUAL),
                    ("region", RangeOperators.EQUAL),
                    ("tier", RangeOperators.EQUAL),
                    (
                        Func(
                            "valid_from",
                            "valid_to",
                            Value("[)"),
                            function="tstzrange",
                            output_field=DateTimeRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model} from {self.valid_from:%Y-%m-%d}"


class PriceBook(models.Model):
    """One row: its version grows with every price change, so that each process knows when to reload."""

    version = models.BigIntegerField(default=1)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"version {self.version}"


class Repricing(models.Model):
    """One run of re-pricing history: what was asked, how far it is, and what it changed."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    provider = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=200)
    start = models.DateTimeField()
    end = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    cursor = models.JSONField(null=True, help_text="Where the next run goes on")
    events_total = models.BigIntegerField(default=0)
    events_done = models.BigIntegerField(default=0)
    events_changed = models.BigIntegerField(default=0)
    events_newly_priced = models.BigIntegerField(default=0, help_text="Calls whose cost was unknown before")
    hours_from_rollups = models.BigIntegerField(
        default=0, help_text="Hours older than the raw events, re-priced from the roll-ups' tokens"
    )
    cost_before = models.DecimalField(max_digits=30, decimal_places=12, default=0)
    cost_after = models.DecimalField(max_digits=30, decimal_places=12, default=0)
    hours_skipped = models.BigIntegerField(
        default=0, help_text="Hours older than the raw events whose sums do not tell which price held"
    )
    attempt = models.IntegerField(default=0, help_text="Counts the workers that took the run; only the last may write")
    claimable_at = models.DateTimeField(
        default=timezone.now, help_text="From then on any worker may take the run: a lease, renewed with every chunk"
    )
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(
        "accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=Q(end__gt=F("start")), name="repricing_window_not_empty")]
        indexes = [
            # The beat task looks for runs to take up.
            models.Index(fields=["claimable_at"], condition=Q(state__in=["waiting", "running"]), name="repricing_to_do")
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model} {self.state}"

    @property
    def is_open(self) -> bool:
        return self.state in (self.State.WAITING, self.State.RUNNING)

    @property
    def known_before(self) -> Decimal | None:
        """Cost before of the changed calls; None where it was unknown for all of them."""
        return None if self.events_changed and self.events_newly_priced == self.events_changed else self.cost_before

    @property
    def change_usd(self) -> Decimal:
        """What the changed calls cost more (or less, negative) than before."""
        return self.cost_after - self.cost_before
