"""Triage: confirm the impact, find the scope, read the signature, offer what helps (DOMAIN: triage tree).

`assess` reads a window of telemetry and its baseline and answers with ranked failure modes, the blast radius and
suspects among the recorded changes; `mitigations` are what fits. Neither writes anything.
"""

from incidents.triage.assessment import Assessment, assess
from incidents.triage.shown import shown
from incidents.triage.window import assess_incident, mitigations

__all__ = ["Assessment", "assess", "assess_incident", "mitigations", "shown"]
