"""Triage as pure decisions: what moved, where, which failure mode fits, what helps. No ORM, no clock."""
