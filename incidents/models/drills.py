"""Drills: a rehearsed bad day, and how long it took people to see it, name it and stop it."""

from datetime import timedelta

from django.db import models
from django.db.models import F, Q


class Drill(models.Model):
    """One game day (telemetry is injected into the drill environment) or tabletop (people talk it through).

    `fault_at` is when the fault begins; the four moments after it are what is measured. Of a game day they come from
    the alerts, the incident and the controls; of a tabletop people say them.
    """

    class Kind(models.TextChoices):
        GAME_DAY = "game_day", "Game day"
        TABLETOP = "tabletop", "Tabletop"

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        ENDED = "ended", "Ended"
        CANCELLED = "cancelled", "Cancelled"

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="drills")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    scenario = models.CharField(max_length=40, help_text="Key of a scenario that ships with the desk")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    is_blind = models.BooleanField(default=True, help_text="What it is stays hidden until it ends")
    started_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField()
    fault_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    injected_until = models.DateTimeField(null=True, blank=True, help_text="Telemetry is there up to this moment")
    injected_events = models.PositiveIntegerField(default=0)
    denied_calls = models.PositiveIntegerField(default=0, help_text="Calls the guard refused")
    moved_calls = models.PositiveIntegerField(default=0, help_text="Calls the guard sent elsewhere or made cheaper")
    api_key = models.ForeignKey("accounts.ApiKey", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    incident = models.ForeignKey(
        "incidents.Incident", on_delete=models.SET_NULL, null=True, blank=True, related_name="drills"
    )
    detected_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    classified_at = models.DateTimeField(null=True, blank=True)
    classified_as = models.CharField(max_length=15, blank=True, help_text="The failure mode people decided on")
    mitigated_at = models.DateTimeField(null=True, blank=True)
    notes = models.TextField(blank=True, help_text="What was learned")
    notes_version = models.PositiveIntegerField(default=1, help_text="Goes up when the notes are saved")

    class Meta:
        ordering = ["-started_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=["game_day", "tabletop"]), name="drill_kind_known"),
            models.CheckConstraint(
                condition=Q(fault_at__gte=F("started_at")) & Q(ends_at__gt=F("fault_at")), name="drill_times_in_order"
            ),
            models.CheckConstraint(
                condition=Q(state="running") ^ Q(ended_at__isnull=False), name="drill_end_has_a_time"
            ),
            # Telemetry of two would mix: one at a time for a team.
            models.UniqueConstraint(
                fields=["team"], condition=Q(state="running") & Q(kind="game_day"), name="drill_one_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"Drill {self.pk}"

    @property
    def is_running(self) -> bool:
        return self.state == self.State.RUNNING

    def took(self, moment: str) -> timedelta | None:
        """From the fault to a moment: detected, acknowledged, classified or mitigated."""
        at = getattr(self, f"{moment}_at")
        return at - self.fault_at if at else None
