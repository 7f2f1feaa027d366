"""Which alerts nobody is told of: silenced ones, those in a maintenance window, and children of a firing parent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

# A parent mutes its children this long after it is over: they take a little longer to be well again.
AFTER_PARENT = timedelta(minutes=5)


@dataclass(frozen=True)
class Told:
    """What muting looks at of an alert."""

    team_id: int | None
    rule_id: int | None
    parent_id: int | None
    labels: Mapping[str, str]
    rule_is_off: bool = False


@dataclass(frozen=True)
class Quiet:
    """A silence or maintenance window. team_id, rule_id: None means every one; labels: all of them must be equal."""

    team_id: int | None
    rule_id: int | None
    labels: Mapping[str, str]
    reason: str
    is_maintenance: bool

    def covers(self, alert: Told) -> bool:
        """Whether the alert lies in it. An alert of the organisation lies only in those of all teams."""
        if self.team_id is not None and self.team_id != alert.team_id:
            return False
        if self.rule_id is not None and self.rule_id != alert.rule_id:
            return False
        return all(alert.labels.get(name) == value for name, value in self.labels.items())

    @property
    def why(self) -> str:
        return f"{'Maintenance' if self.is_maintenance else 'Silence'}: {self.reason}"[:200]


@dataclass(frozen=True)
class Parent:
    """A firing (or just resolved) alert of a rule that has children."""

    rule_id: int
    team_id: int | None
    labels: Mapping[str, str]
    title: str

    def covers(self, alert: Told) -> bool:
        """Whether it is the parent's and about the same: labels that both have must be equal."""
        if alert.parent_id != self.rule_id or self.team_id not in (None, alert.team_id):
            return False
        return all(alert.labels.get(name, value) == value for name, value in self.labels.items())


def why_muted(alert: Told, quiet: Iterable[Quiet], parents: Iterable[Parent]) -> str:
    """Why nobody is told of an alert, in words; "" where people are."""
    if alert.rule_is_off:
        return "Its rule is switched off"
    if found := next((one for one in quiet if one.covers(alert)), None):
        return found.why
    parent = next((one for one in parents if one.covers(alert)), None)
    return f"Parent: {parent.title}"[:200] if parent else ""
