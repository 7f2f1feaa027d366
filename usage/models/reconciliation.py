"""Runs of the proof that the roll-ups say what the events say."""

from django.db import models


class Reconciliation(models.Model):
    """One run over the days of [start, end): what each tier sums to, per team and day, and where they differ."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    start = models.DateField()
    end = models.DateField(help_text="Exclusive")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    days_done = models.PositiveIntegerField(default=0)
    days_total = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(
        "accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.start} to {self.end}: {self.state}"


class ReconciledDay(models.Model):
    """One team's day in a run. A tier that is no longer kept has no figures and is not compared."""

    class Verdict(models.TextChoices):
        EQUAL = "equal", "Equal"
        CATCHING_UP = "catching_up", "Catching up"
        DIFFERENT = "different", "Different"

    run = models.ForeignKey(Reconciliation, on_delete=models.CASCADE, related_name="days")
    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="+")
    day = models.DateField()
    verdict = models.CharField(max_length=12, choices=Verdict.choices)
    tiers = models.JSONField(help_text="Tier → events, cost_usd (text), total_tokens")
    differences = models.JSONField(default=list, help_text="The first differing groups, with both sides' figures")
    differing = models.PositiveIntegerField(default=0, help_text="How many groups differ")

    class Meta:
        ordering = ["-day", "team"]
        constraints = [models.UniqueConstraint(fields=["run", "team", "day"], name="reconciled_day_once")]

    def __str__(self) -> str:
        return f"{self.team} {self.day}: {self.verdict}"
