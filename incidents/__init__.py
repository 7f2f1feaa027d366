"""The incidents room: alerts, and the controls that the guard obeys."""
