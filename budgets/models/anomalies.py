"""Anomalies of a slice's hourly figures, and what the detector remembers of each slice."""

from datetime import datetime
from functools import cached_property

from django.db import models
from django.db.models import F, Q

from budgets.rules.episode import Point, Watched

WATCHED_WORDS = {
    Watched.SPEND: "Spend",
    Watched.TOKENS_PER_CALL: "Tokens per call",
    Watched.COST_PER_CALL: "Cost per call",
    Watched.REQUESTS: "Requests",
    Watched.REFUSALS: "Refusals",
    Watched.FAILURES: "Failed calls",
    Watched.EMPTY_RETRIEVALS: "Empty retrievals",
}
UNITS = {
    Watched.SPEND: "USD/h",
    Watched.TOKENS_PER_CALL: "tokens",
    Watched.COST_PER_CALL: "USD",
    Watched.REQUESTS: "requests",
    Watched.REFUSALS: "refusals",
    Watched.FAILURES: "calls",
    Watched.EMPTY_RETRIEVALS: "retrievals",
}
MONEY = frozenset({Watched.SPEND, Watched.COST_PER_CALL})
WATCHED = [(metric.value, WATCHED_WORDS[metric]) for metric in Watched]


class AnomalyWatch(models.Model):
    """One team × feature × model whose hours are watched. `state` holds its trackers as of `sealed_until`.

    Hours from there on are looked at again in every run, because late events may still change them.
    """

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="+")
    feature = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    state = models.BinaryField()
    sealed_until = models.DateTimeField()
    evaluated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "feature", "model"], name="anomaly_watch_once")]

    def __str__(self) -> str:
        return " · ".join(filter(None, (self.team.name, self.feature or "no feature", self.model)))


class Anomaly(models.Model):
    """One metric of one slice outside what was expected, from its first hour on; still running without an end.

    value, expected, low, high: of the hour furthest off, in `unit`. `size_usd` adds up what its hours cost more (or,
    negative, less) than expected; None where that is unknown. `course` is what was seen: [hour, value, band …].
    """

    class Severity(models.TextChoices):
        INFO = "info", "Info"
        WARNING = "warning", "Warning"
        CRITICAL = "critical", "Critical"

    class Decision(models.TextChoices):
        EXPECTED = "expected", "Expected"
        DISMISSED = "dismissed", "Dismissed"

    watch = models.ForeignKey(AnomalyWatch, on_delete=models.CASCADE, related_name="anomalies")
    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="anomalies")
    metric = models.CharField(max_length=20, choices=WATCHED)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    up = models.BooleanField(help_text="More than expected; else less")
    value = models.FloatField()
    expected = models.FloatField()
    low = models.FloatField()
    high = models.FloatField()
    score = models.FloatField(help_text="1 is where a point becomes strange")
    size_usd = models.DecimalField(max_digits=30, decimal_places=12, null=True, blank=True)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    is_provisional = models.BooleanField(default=False, help_text="Its first hour still runs")
    is_withdrawn = models.BooleanField(default=False, help_text="Late events explained it away")
    course = models.JSONField()
    found_at = models.DateTimeField()
    decision = models.CharField(max_length=10, choices=Decision.choices, blank=True)
    decided_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-started_at", "-id"]
        verbose_name_plural = "anomalies"
        constraints = [
            models.UniqueConstraint(fields=["watch", "metric", "started_at"], name="anomaly_once"),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gt=F("started_at")), name="anomaly_ends_after_start"
            ),
            models.CheckConstraint(
                condition=Q(decision="") | (Q(decided_at__isnull=False) & ~Q(reason="")),
                name="anomaly_decided_with_a_reason",
            ),
        ]
        indexes = [models.Index(fields=["team", "-started_at"], name="anomaly_by_team")]  # the list, and the API

    def __str__(self) -> str:
        return f"{self.title} at {self.started_at:%Y-%m-%d %H:%M} UTC"

    @property
    def slice_words(self) -> str:
        return " · ".join(filter(None, (self.watch.feature or "no feature", self.watch.model)))

    @property
    def title(self) -> str:
        """Cost per call of answer-drafting · gpt-4o: 2.6 times the expected."""
        return f"{self.get_metric_display()} of {self.slice_words}: {self.change_words}"

    @property
    def change_words(self) -> str:
        times = self.value / self.expected if self.expected else None
        if times is None:
            return "where none was expected"
        return f"{times:.1f} times the expected" if times >= 1 else f"{1 - times:.0%} below the expected"

    @property
    def unit(self) -> str:
        return UNITS[Watched(self.metric)]

    @property
    def is_running(self) -> bool:
        return self.ended_at is None and not self.is_withdrawn

    @property
    def state_words(self) -> tuple[str, str]:
        """(tone, word) of a status."""
        if self.is_withdrawn:
            return "neutral", "withdrawn"
        if self.decision:
            return "ok" if self.decision == self.Decision.EXPECTED else "neutral", self.get_decision_display().lower()
        if self.ended_at:
            return "neutral", "over"
        tone = {self.Severity.CRITICAL: "bad", self.Severity.WARNING: "warn"}.get(self.Severity(self.severity), "info")
        return tone, "provisional" if self.is_provisional else "running"

    @property
    def gravity(self) -> tuple[bool, bool, float]:
        """Ascending: warnings, then critical ones; money before counts; then by size."""
        return self.severity == self.Severity.CRITICAL, self.metric in MONEY, float(self.size_usd or 0)

    @cached_property
    def points(self) -> list[Point]:
        return [Point.restored(point) for point in self.course]

    @property
    def last_seen(self) -> datetime:
        """End of what `course` shows."""
        return self.ended_at or self.points[-1].at
