"""What belongs together: alerts of one cause are one group, one notification and at most one incident."""

SEVERITIES = ("", "info", "warning", "critical")
ROUTES = ("", "report", "ticket", "page")


def group_key(runbook: str, parent_runbook: str = "") -> str:
    """The cause within a team: the runbook that is followed, the parent's where the rule has one."""
    return (parent_runbook or runbook).partition("#")[0]


def rank(severity: str, route: str) -> tuple[int, int]:
    """Ascending: how far it must be heard, then how bad it is."""
    return ROUTES.index(route), SEVERITIES.index(severity)


def is_louder(severity: str, route: str, told_severity: str, told_route: str) -> bool:
    """Whether people must be told (again): by a route not used yet, or of something worse."""
    return ROUTES.index(route) > ROUTES.index(told_route) or SEVERITIES.index(severity) > SEVERITIES.index(
        told_severity
    )
