"""Reads of the budgets room."""
