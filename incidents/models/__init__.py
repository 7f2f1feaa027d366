from incidents.models.alert_rules import AlertRule, QueueBeat, RuleState, RuleVersion, Silence
from incidents.models.alerts import Alert, AlertGroup
from incidents.models.canaries import Canary, CanaryRun
from incidents.models.channels import Channel, NotificationRoute
from incidents.models.controls import Control, ControlVersion, ModePolicy
from incidents.models.deliveries import Delivery
from incidents.models.drills import Drill
from incidents.models.evidence import IncidentImage, IncidentLink
from incidents.models.incidents import FailureMode, Incident, IncidentRole, TimelineEntry
from incidents.models.messages import Message
from incidents.models.oncall import (
    Escalation,
    EscalationEntry,
    EscalationPolicy,
    EscalationStep,
    Rota,
    RotaMember,
    RotaOverride,
)
from incidents.models.postmortems import ActionItem, Postmortem, PostmortemVersion
from incidents.models.responsibilities import Responsibility
from incidents.models.reviews import ReviewDecision
from incidents.models.runbooks import Runbook, RunbookRun, RunbookSection, RunbookVersion, SectionKind, StepTick
from incidents.models.slos import Slo
from incidents.models.status_page import StatusComponent

__all__ = [
    "ActionItem",
    "Alert",
    "AlertGroup",
    "AlertRule",
    "Canary",
    "CanaryRun",
    "Channel",
    "Control",
    "ControlVersion",
    "Delivery",
    "Drill",
    "Escalation",
    "EscalationEntry",
    "EscalationPolicy",
    "EscalationStep",
    "FailureMode",
    "Incident",
    "IncidentImage",
    "IncidentLink",
    "IncidentRole",
    "Message",
    "ModePolicy",
    "NotificationRoute",
    "Postmortem",
    "PostmortemVersion",
    "QueueBeat",
    "Responsibility",
    "ReviewDecision",
    "Rota",
    "RotaMember",
    "RotaOverride",
    "RuleState",
    "RuleVersion",
    "Runbook",
    "RunbookRun",
    "RunbookSection",
    "RunbookVersion",
    "SectionKind",
    "Silence",
    "Slo",
    "StatusComponent",
    "StepTick",
    "TimelineEntry",
]
