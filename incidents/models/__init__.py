from incidents.models.alert_rules import AlertRule, QueueBeat, RuleState, RuleVersion, Silence
from incidents.models.alerts import Alert, AlertGroup
from incidents.models.controls import Control, ControlVersion, ModePolicy
from incidents.models.incidents import FailureMode, Incident, IncidentRole, TimelineEntry
from incidents.models.runbooks import Runbook, RunbookSection, RunbookVersion, SectionKind
from incidents.models.slos import Slo

__all__ = [
    "Alert",
    "AlertGroup",
    "AlertRule",
    "Control",
    "ControlVersion",
    "FailureMode",
    "Incident",
    "IncidentRole",
    "ModePolicy",
    "QueueBeat",
    "RuleState",
    "RuleVersion",
    "Runbook",
    "RunbookSection",
    "RunbookVersion",
    "SectionKind",
    "Silence",
    "Slo",
    "TimelineEntry",
]
