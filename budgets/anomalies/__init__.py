"""Watching hourly figures: reading them, evaluating them, keeping what was found, deciding on it."""
