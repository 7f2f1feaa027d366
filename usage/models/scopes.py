"""What a budget, a limit or a control is about: a slice of the AI calls."""

from collections.abc import Mapping

from django.db import models

# Columns of a slice beside the team, by the names of the event's fields; '' means any value.
SCOPE_FIELDS = ("feature", "tenant", "environment", "user_hash", "provider", "model", "cost_center")


def _any(length: int) -> models.CharField:
    return models.CharField(max_length=length, blank=True, default="", help_text="Empty: any")


class CallScope(models.Model):
    """A slice of the AI calls: a team (or the organisation) and the values a call must have. Empty means any."""

    team = models.ForeignKey(
        "accounts.Team", on_delete=models.CASCADE, null=True, blank=True, related_name="+", help_text="Empty: all teams"
    )
    feature = _any(100)
    tenant = _any(200)
    environment = _any(64)
    user_hash = _any(128)
    provider = _any(100)
    model = _any(200)
    cost_center = _any(100)

    class Meta:
        abstract = True

    def covers(self, team_id: int, call: Mapping[str, str]) -> bool:
        """Whether a call of that team with these field values lies in the slice. A field that is absent is ''."""
        if self.team_id is not None and self.team_id != team_id:
            return False
        return all(getattr(self, name) in ("", call.get(name, "")) for name in SCOPE_FIELDS)

    @property
    def filters(self) -> dict[str, tuple[str, ...]]:
        """The slice as filters of a metric query (the team is `team_ids` there)."""
        return {name: (value,) for name in SCOPE_FIELDS if (value := getattr(self, name))}

    @property
    def scope_label(self) -> str:
        """E.g. "Support · chat · prod"; "Organisation" for everything."""
        parts = [self.team.name] if self.team else ["Organisation"]
        return " · ".join([*parts, *(value for name in SCOPE_FIELDS if (value := getattr(self, name)))])
