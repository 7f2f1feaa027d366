"""Budgets: what may be used of a slice of the calls within a period, and what happens on the way there."""

from django.db import models
from django.db.models import F, Q

from budgets.rules.thresholds import Step
from usage.models.scopes import CallScope


def _amount(**more) -> models.DecimalField:
    """USD, tokens or requests, to the last unit of cost that is kept."""
    return models.DecimalField(max_digits=30, decimal_places=12, **more)


UNIT_LABELS = {"usd": "USD", "tokens": "tokens", "requests": "requests"}


class Budget(CallScope):
    """A limit on a slice of the calls per period. `version` grows with every edit: who edits an old one is told so."""

    class Period(models.TextChoices):
        HOUR = "hour", "Hour"
        DAY = "day", "Day"
        WEEK = "week", "Week"
        MONTH = "month", "Month"
        QUARTER = "quarter", "Quarter"

    class Unit(models.TextChoices):
        USD = "usd", "USD"
        TOKENS = "tokens", "Tokens"
        REQUESTS = "requests", "Requests"

    class Enforcement(models.TextChoices):
        HARD = "hard", "Hard: calls beyond it are denied"
        SOFT = "soft", "Soft: calls beyond it are allowed and reported"

    class OnFailure(models.TextChoices):
        OPEN = "open", "Open: calls go on while the desk cannot answer"
        CLOSED = "closed", "Closed: calls stop while the desk cannot answer"

    name = models.CharField(max_length=100)
    period = models.CharField(max_length=8, choices=Period.choices, default=Period.MONTH)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="IANA name; periods begin at its midnight")
    anchor = models.PositiveSmallIntegerField(
        default=1,
        help_text="First weekday (1 Monday … 7), day (1 … 28) or month (1 … 3) of the period",
    )
    unit = models.CharField(max_length=8, choices=Unit.choices, default=Unit.USD)
    limit = _amount()
    enforcement = models.CharField(max_length=4, choices=Enforcement.choices, default=Enforcement.SOFT)
    on_failure = models.CharField(max_length=6, choices=OnFailure.choices, default=OnFailure.OPEN)
    rollover_share = models.DecimalField(
        max_digits=5,
        decimal_places=4,
        default=0,
        help_text="How much of what the last period left over is added to the next, 0 to 1",
    )
    approval_share = models.DecimalField(
        max_digits=6,
        decimal_places=4,
        default="0.2",
        help_text="An increase of the limit by more than this share needs a second person",
    )
    owner = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    note = models.CharField(max_length=500, blank=True)
    is_active = models.BooleanField(default=True)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "name"], condition=Q(is_active=True), name="budget_name_once", nulls_distinct=False
            ),
            models.CheckConstraint(condition=Q(limit__gt=0), name="budget_limit_positive"),
            models.CheckConstraint(
                condition=Q(rollover_share__gte=0, rollover_share__lte=1), name="budget_rollover_is_a_share"
            ),
            models.CheckConstraint(condition=Q(approval_share__gte=0), name="budget_approval_share_not_negative"),
            models.CheckConstraint(
                condition=Q(period="week", anchor__gte=1, anchor__lte=7)
                | Q(period="month", anchor__gte=1, anchor__lte=28)
                | Q(period="quarter", anchor__gte=1, anchor__lte=3)
                | Q(period__in=["hour", "day"], anchor=1),
                name="budget_anchor_fits_period",
            ),
            models.CheckConstraint(condition=Q(unit__in=["usd", "tokens", "requests"]), name="budget_unit_known"),
            models.CheckConstraint(condition=Q(enforcement__in=["hard", "soft"]), name="budget_enforcement_known"),
            models.CheckConstraint(condition=Q(on_failure__in=["open", "closed"]), name="budget_on_failure_known"),
        ]
        indexes = [
            # Budgets of a team that are in force: the guard's cache and the list.
            models.Index(fields=["team"], condition=Q(is_active=True), name="budget_active_by_team")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def unit_label(self) -> str:
        """The unit as pages and charts say it: USD, tokens, requests."""
        return UNIT_LABELS[self.unit]


class Threshold(models.Model):
    """At this share of the budget something happens. 85 is 85 % of limit, roll-over and grants together.

    With `before` it is a burn rate: 60 before 33 is 60 % used before a third of the period is over.
    """

    class Action(models.TextChoices):
        NOTIFY = "notify", "Notify"
        CONSERVE = "conserve", "Conserve mode"
        EMERGENCY = "emergency", "Emergency mode"
        BLOCK = "block", "Block"

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="thresholds")
    percent = models.DecimalField(max_digits=6, decimal_places=2)
    before = models.DecimalField(max_digits=5, decimal_places=2, null=True, blank=True)
    action = models.CharField(max_length=10, choices=Action.choices)

    class Meta:
        ordering = ["percent", "action"]
        constraints = [
            models.UniqueConstraint(
                fields=["budget", "percent", "action", "before"], name="threshold_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=Q(before__isnull=True) | Q(before__gt=0, before__lt=100), name="threshold_before_in_range"
            ),
            models.CheckConstraint(condition=Q(percent__gt=0, percent__lte=1000), name="threshold_percent_in_range"),
            models.CheckConstraint(
                condition=Q(action__in=["notify", "conserve", "emergency", "block"]), name="threshold_action_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.step.words}: {self.get_action_display()}"

    @property
    def step(self) -> Step:
        """As the rules take it."""
        return Step(self.percent, self.action, self.before)


class Grant(models.Model):
    """A one-off addition to a budget, usable until it expires. Counts in every period that it is valid in at its start
    or is given in, until it is used up or taken back.
    """

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="grants")
    amount = _amount()
    valid_from = models.DateTimeField()
    expires_at = models.DateTimeField()
    reason = models.CharField(max_length=500)
    created_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-valid_from", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="grant_amount_positive"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("valid_from")), name="grant_expires_after_start"),
            models.CheckConstraint(condition=~Q(reason=""), name="grant_has_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} until {self.expires_at:%Y-%m-%d}"


class BudgetRevision(models.Model):
    """A budget as it was after each edit, thresholds included: the history page, and what undo restores."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="revisions")
    version = models.PositiveIntegerField()
    facts = models.JSONField()
    reason = models.CharField(max_length=500, blank=True)
    actor = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    actor_label = models.CharField(max_length=200)
    approved_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    at = models.DateTimeField()

    class Meta:
        ordering = ["-version"]
        constraints = [models.UniqueConstraint(fields=["budget", "version"], name="revision_once")]

    def __str__(self) -> str:
        return f"version {self.version}"


class PendingChange(models.Model):
    """An edit that waits for a second person: an increase above the budget's approval share."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        APPROVED = "approved", "Approved"
        REFUSED = "refused", "Refused"
        WITHDRAWN = "withdrawn", "Withdrawn"

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="pending_changes")
    base_version = models.PositiveIntegerField(help_text="The version it changes; an edit in between makes it void")
    facts = models.JSONField(help_text="The budget as it would be, thresholds included")
    reason = models.CharField(max_length=500)
    requested_by = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")
    requested_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    decided_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-requested_at"]
        constraints = [
            models.UniqueConstraint(fields=["budget"], condition=Q(state="waiting"), name="pending_change_once"),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("requested_by")),
                name="pending_change_second_person",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.budget} by {self.requested_by}"
