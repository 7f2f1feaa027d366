"""Rules that give calls a feature or cost centre their senders did not set."""

from django.db import models
from django.db.models import Q


def _pattern(help_text: str) -> models.CharField:
    return models.CharField(max_length=200, blank=True, default="", help_text=help_text)


class AttributionRule(models.Model):
    """Calls that meet every condition get a feature or cost centre, in history too.

    Conditions compare with what the events said, never with what a rule made of it. `*` stands for any text, `(none)`
    for no value, empty for anything. Of several rules that fit, the one of lowest `position` sets each field.
    """

    team = models.ForeignKey(
        "accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+", help_text="Empty: all teams"
    )
    position = models.PositiveIntegerField(default=100, help_text="Lower ones win")
    feature = _pattern("Feature as sent, e.g. chat-* or (none)")
    service = _pattern("Service, e.g. checkout or chat-*")
    model = _pattern("Model, e.g. gpt-4o*")
    environment = _pattern("Environment, e.g. staging")
    api_key = models.ForeignKey(
        "accounts.ApiKey", on_delete=models.CASCADE, null=True, blank=True, related_name="+", help_text="Sent with"
    )
    only_untagged = models.BooleanField(default=True, help_text="Leave alone what was sent with a value")
    set_feature = models.CharField(max_length=100, blank=True, default="")
    set_cost_center = models.CharField(max_length=100, blank=True, default="")
    note = models.CharField(max_length=300, blank=True, default="")
    is_active = models.BooleanField(default=True)
    moved_through = models.DateTimeField(
        null=True, blank=True, help_text="With an API key: its events up to here have a series of their own"
    )
    created_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(set_feature="") | ~Q(set_cost_center=""), name="attribution_rule_sets_something"
            ),
            models.CheckConstraint(
                condition=~Q(feature="")
                | ~Q(service="")
                | ~Q(model="")
                | ~Q(environment="")
                | Q(api_key__isnull=False),
                name="attribution_rule_has_a_condition",
            ),
            models.CheckConstraint(
                condition=Q(api_key__isnull=True) | Q(team__isnull=False), name="attribution_rule_of_a_key_has_a_team"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.conditions} → {self.outcome}"

    @property
    def conditions(self) -> str:
        """E.g. "service checkout, model gpt-4o*"."""
        named = [(name, getattr(self, name)) for name in ("feature", "service", "model", "environment")]
        key = [f"API key {self.api_key.name}"] if self.api_key else []
        return ", ".join([f"{name} {value}" for name, value in named if value] + key)

    @property
    def outcome(self) -> str:
        named = (("feature", self.set_feature), ("cost centre", self.set_cost_center))
        return ", ".join(f"{name} {value}" for name, value in named if value)
