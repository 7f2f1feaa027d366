"""Client of AI Ops Desk: asks its guard before a model call, settles after it, and sends usage events."""

__version__ = "0.1.0"

from aiops_desk.answers import Closed, Decision, Estimate, Headroom, Reason, Rejected, Sent
from aiops_desk.async_desk import AsyncDesk, AsyncReservation
from aiops_desk.desk import Desk, Reservation
from aiops_desk.errors import Denied, DeskError, DeskUnavailable, RequestRefused
from aiops_desk.fields import Call, Event, FailPolicy, Usage

__all__ = [
    "AsyncDesk",
    "AsyncReservation",
    "Call",
    "Closed",
    "Decision",
    "Denied",
    "Desk",
    "DeskError",
    "DeskUnavailable",
    "Estimate",
    "Event",
    "FailPolicy",
    "Headroom",
    "Reason",
    "Rejected",
    "RequestRefused",
    "Reservation",
    "Sent",
    "Usage",
    "__version__",
]
