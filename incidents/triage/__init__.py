"""Triage: confirm the impact, find the scope, read the signature, offer what helps (DOMAIN: triage tree).

`assess` reads a window of telemetry and its baseline and answers with ranked failure modes, the blast radius, suspects
among the recorded changes and fitting mitigations. It writes nothing.
"""

from incidents.triage.assessment import Assessment, assess

__all__ = ["Assessment", "assess"]
