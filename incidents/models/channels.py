"""Where notifications go: channels, and the routes that choose among them."""

from django.db import models
from django.db.models import F, Q

from incidents.models.alerts import Alert


class Channel(models.Model):
    """One place to send to. Its address holds a secret, so it is stored sealed (`incidents.seal`) and shown masked.

    Of a team; of one person (`user`), who is reached by it when paged; else of the organisation.
    """

    class Kind(models.TextChoices):
        APPRISE = "apprise", "Slack, Teams, PagerDuty … (Apprise)"
        WEBHOOK = "webhook", "Signed webhook"
        EMAIL = "email", "E-mail"

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, null=True, blank=True, related_name="channels")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    address = models.TextField(help_text="Sealed")
    signing_secret = models.TextField(blank=True, help_text="Sealed; of a signed webhook")
    shown = models.CharField(max_length=300, help_text="The address without its secrets")
    per_minute = models.PositiveSmallIntegerField(default=10, help_text="More than these become one digest")
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    zone = models.CharField(max_length=64, default="UTC", help_text="Of the quiet hours")
    is_active = models.BooleanField(default=True)
    paused_until = models.DateTimeField(null=True, blank=True, help_text="Asked by the service: Retry-After")
    failing_since = models.DateTimeField(null=True, blank=True)
    dead_since = models.DateTimeField(null=True, blank=True, help_text="A delivery was given up")
    last_sent_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(per_minute__gte=1), name="channel_sends_at_all"),
            models.CheckConstraint(condition=Q(user=None) | Q(team=None), name="channel_of_one_owner"),
            models.CheckConstraint(condition=~Q(kind="webhook") | ~Q(signing_secret=""), name="channel_webhook_signs"),
            models.CheckConstraint(
                condition=Q(quiet_from=None, quiet_until=None)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False) & ~Q(quiet_from=F("quiet_until")),
                name="channel_quiet_hours_whole",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class NotificationRoute(models.Model):
    """Sends what matches to a channel. `team` empty: of every team. Several may match; a channel gets it once."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="routes")
    least_severity = models.CharField(max_length=10, choices=Alert.Severity.choices, default=Alert.Severity.INFO)
    route = models.CharField(max_length=10, choices=Alert.Route.choices, blank=True, help_text="Empty: every route")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["team__name", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(least_severity__in=Alert.Severity.values), name="notify_severity_known"),
            models.UniqueConstraint(
                fields=["team", "channel", "least_severity", "route"], name="notify_route_once", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        which = self.get_route_display().lower() + "s" if self.route else "everything"
        return f"{which} from {self.least_severity} of {self.team or 'every team'} to {self.channel}"
