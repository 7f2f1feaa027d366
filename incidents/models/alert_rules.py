"""Alert rules, what is known of each of their label sets, and what mutes them."""

from django.db import models
from django.db.models import F, Q

from incidents.models.alerts import Alert


class AlertRule(models.Model):
    """A condition someone must act on. It is evaluated over the metric query; one alert per rule and label set."""

    class Kind(models.TextChoices):
        THRESHOLD = "threshold", "Threshold"
        BASELINE = "baseline", "Ratio to baseline"
        BURN_RATE = "burn_rate", "SLO burn rate"
        ANOMALY = "anomaly", "Spend anomaly"
        BUDGET = "budget", "Budget threshold"
        NO_DATA = "no_data", "No data"
        CANARY = "canary", "Canary"
        DESK = "desk", "The desk itself"

    class Comparison(models.TextChoices):
        ABOVE = "above", "above"
        BELOW = "below", "below"

    team = models.ForeignKey(
        "accounts.Team",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="All, if empty",
    )
    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=150)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    metric = models.CharField(max_length=60, blank=True, help_text="Name in the metrics catalogue")
    filters = models.JSONField(default=dict, blank=True, help_text="Dimension → values")
    breakdown = models.JSONField(default=list, blank=True, help_text="Dimensions; one alert per combination")
    window_seconds = models.PositiveIntegerField(default=300)
    comparison = models.CharField(max_length=5, choices=Comparison.choices, default=Comparison.ABOVE)
    threshold = models.DecimalField(max_digits=24, decimal_places=9, null=True, blank=True, help_text="In the unit")
    clear_threshold = models.DecimalField(
        max_digits=24, decimal_places=9, null=True, blank=True, help_text="Empty: the threshold itself"
    )
    for_seconds = models.PositiveIntegerField(default=0, help_text="How long it must hold before it fires")
    clear_seconds = models.PositiveIntegerField(default=300, help_text="How long it must be well before it resolves")
    min_events = models.PositiveIntegerField(default=0, help_text="Fewer requests in the window: not judged")
    baseline_weeks = models.PositiveSmallIntegerField(default=4, help_text="The same hours of these weeks")
    slo = models.ForeignKey("incidents.Slo", on_delete=models.CASCADE, null=True, blank=True, related_name="rules")
    options = models.JSONField(default=dict, blank=True, help_text="What one kind alone needs")
    severity = models.CharField(max_length=10, choices=Alert.Severity.choices)
    route = models.CharField(max_length=10, choices=Alert.Route.choices)
    owner = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    first_mitigation = models.CharField(max_length=300)
    runbook_section = models.ForeignKey("incidents.RunbookSection", on_delete=models.PROTECT, related_name="rules")
    parent = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="children",
        help_text="Mutes this one",
    )
    is_active = models.BooleanField(default=True)
    is_shipped = models.BooleanField(default=False, help_text="Came with the desk")
    version = models.PositiveIntegerField(default=1)
    evaluated_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True, help_text="Since when its evaluation fails")
    failure = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(severity__in=Alert.Severity.values), name="rule_severity_known"),
            models.CheckConstraint(condition=Q(route__in=Alert.Route.values), name="rule_route_known"),
            models.CheckConstraint(condition=Q(window_seconds__gte=60), name="rule_window_of_a_minute"),
            models.CheckConstraint(
                condition=~Q(kind__in=["threshold", "baseline"]) | (~Q(metric="") & Q(threshold__isnull=False)),
                name="rule_has_metric_and_threshold",
            ),
            models.CheckConstraint(condition=~Q(kind="burn_rate") | Q(slo__isnull=False), name="rule_burn_has_slo"),
            models.CheckConstraint(condition=~Q(first_mitigation=""), name="rule_has_a_first_mitigation"),
        ]

    def __str__(self) -> str:
        return self.name


class RuleVersion(models.Model):
    """What a rule said from one edit to the next. Rows are never changed; an edit is undone from the one before."""

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    facts = models.JSONField(help_text="Every field of the rule")
    note = models.CharField(max_length=500, blank=True)
    author = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["rule_id", "-number"]
        constraints = [models.UniqueConstraint(fields=["rule", "number"], name="rule_version_once")]

    def __str__(self) -> str:
        return f"{self.rule}, version {self.number}"


class RuleState(models.Model):
    """Where one label set of a rule stands; evaluation reads and writes nothing else, so missing one is harmless."""

    class State(models.TextChoices):
        OK = "ok", "OK"
        PENDING = "pending", "Pending"
        FIRING = "firing", "Firing"

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="states")
    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    key = models.CharField(max_length=300, blank=True, help_text="The label set in one canonical line")
    labels = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OK)
    value = models.DecimalField(max_digits=24, decimal_places=9, null=True, blank=True)
    reference = models.DecimalField(max_digits=24, decimal_places=9, null=True, blank=True, help_text="Of the baseline")
    events = models.BigIntegerField(null=True, blank=True)
    pending_since = models.DateTimeField(null=True, blank=True)
    well_since = models.DateTimeField(null=True, blank=True)
    changes = models.JSONField(default=list, blank=True, help_text="Moments of the last changes: flapping")
    evaluated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rule", "team", "key"], name="rule_state_once", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} {self.key} {self.state}"


class Silence(models.Model):
    """Alerts that match are not notified from start to end; a maintenance window is a silence planned ahead."""

    team = models.ForeignKey(
        "accounts.Team",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="All, if empty",
    )
    is_maintenance = models.BooleanField(default=False)
    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, null=True, blank=True, related_name="silences")
    labels = models.JSONField(default=dict, blank=True, help_text="Label → value an alert must have; empty: all")
    reason = models.CharField(max_length=500)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    created_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-starts_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="silence_has_a_reason"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="silence_ends_after_start"),
        ]

    def __str__(self) -> str:
        return self.reason


class QueueBeat(models.Model):
    """When a worker of a queue last took a task that is sent every minute: how old its queue is."""

    queue = models.CharField(max_length=20, primary_key=True)
    taken_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.queue
