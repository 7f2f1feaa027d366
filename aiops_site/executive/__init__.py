"""The executive view: what a director asks in one minute, on one page."""
