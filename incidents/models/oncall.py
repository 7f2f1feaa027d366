"""Who is on call: rotas with their members and overrides, and how a page that nobody takes climbs."""

from django.db import models
from django.db.models import F, Q


class Rota(models.Model):
    """Members take turns of `days` days, handing over at `handover_at` of the zone; the first turn begins `starts_on`.

    `level`: 1 is paged first. `team` empty: for every team without a rota of its own. `handover_note` is for whoever
    comes next. `calendar_digest`: SHA-256 of the secret in the address of its iCal feed.
    """

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    name = models.CharField(max_length=100)
    level = models.PositiveSmallIntegerField(default=1)
    days = models.PositiveSmallIntegerField(default=7)
    handover_at = models.TimeField()
    zone = models.CharField(max_length=64, default="UTC")
    starts_on = models.DateField()
    handover_note = models.TextField(blank=True)
    noted_at = models.DateTimeField(null=True, blank=True)
    noted_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    calendar_digest = models.BinaryField(max_length=32, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["level", "name", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(days__gte=1) & Q(days__lte=60), name="rota_turn_of_days"),
            models.CheckConstraint(condition=Q(level__gte=1) & Q(level__lte=9), name="rota_level_known"),
            models.UniqueConstraint(fields=["team", "name"], name="rota_name_once", nulls_distinct=False),
        ]

    def __str__(self) -> str:
        return self.name


class RotaMember(models.Model):
    """A person's place in the order of a rota."""

    rota = models.ForeignKey(Rota, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["rota", "position"], name="rota_place_once")]

    def __str__(self) -> str:
        return f"{self.position}. {self.user}"


class RotaOverride(models.Model):
    """Someone covers a span of a rota. Of several the one made last counts."""

    rota = models.ForeignKey(Rota, on_delete=models.CASCADE, related_name="overrides")
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="override_ends_after")]

    def __str__(self) -> str:
        return f"{self.user} covers {self.rota}"


class EscalationPolicy(models.Model):
    """The steps a page climbs until somebody takes it. `team` empty: for every team without its own."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    rounds = models.PositiveSmallIntegerField(default=2, help_text="How often the steps are gone through")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team"], name="escalation_policy_once", nulls_distinct=False),
            models.CheckConstraint(condition=Q(rounds__gte=1) & Q(rounds__lte=10), name="escalation_rounds_few"),
        ]

    def __str__(self) -> str:
        return f"Escalation of {self.team or 'every team'}"


class EscalationStep(models.Model):
    """Whom one step pages, and how long it waits for an answer before the next."""

    policy = models.ForeignKey(EscalationPolicy, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    rota = models.ForeignKey(Rota, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    minutes = models.PositiveSmallIntegerField(default=5)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "position"], name="escalation_step_once"),
            models.CheckConstraint(condition=Q(rota=None) ^ Q(user=None), name="escalation_step_pages_one"),
            models.CheckConstraint(condition=Q(minutes__gte=1) & Q(minutes__lte=240), name="escalation_step_waits"),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.rota or self.user}"


class Escalation(models.Model):
    """One page on its way up. It ends when what it is about is acknowledged or over, or when nobody is left."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    key = models.CharField(max_length=200, unique=True, help_text="Of the notification that began it")
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    url = models.CharField(max_length=500, blank=True)
    severity = models.CharField(max_length=10)
    incident = models.ForeignKey(
        "incidents.Incident", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    alert_group = models.ForeignKey(
        "incidents.AlertGroup", on_delete=models.CASCADE, null=True, blank=True, related_name="escalations"
    )
    started_at = models.DateTimeField()
    steps_taken = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True, blank=True, help_text="Empty: every step was gone through")
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        "accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        # What the task looks for, every few seconds.
        indexes = [models.Index(fields=["next_at"], condition=Q(ended_at=None), name="escalation_due")]

    def __str__(self) -> str:
        return self.title


class EscalationEntry(models.Model):
    """What happened to an escalation, in order."""

    escalation = models.ForeignKey(Escalation, on_delete=models.CASCADE, related_name="history")
    at = models.DateTimeField()
    text = models.CharField(max_length=300)

    class Meta:
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return self.text
