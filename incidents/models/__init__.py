from incidents.models.alerts import Alert
from incidents.models.controls import Control, ControlVersion, ModePolicy

__all__ = ["Alert", "Control", "ControlVersion", "ModePolicy"]
