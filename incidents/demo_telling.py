"""What the demo's teams told of their incidents, the components of the status page and the owner matrix.

Written through the functions that people's acts go through. Removed with the teams.
"""

from copy import copy
from datetime import datetime, timedelta
from typing import Any

from accounts.actions import Author
from accounts.models import Team, User
from incidents.actions.messages import approve, edit_message, send, start_message
from incidents.actions.responsibilities import add_responsibility
from incidents.actions.status_page import save_component
from incidents.models import Incident, Message, Responsibility, StatusComponent

DEMO = Author(label="demo")
ON_CALL, MANAGER = "oncall@demo.example", "admin@demo.example"
COMPONENTS = (
    ("support", "Support assistant", "Answers and drafts for support cases"),
    ("search", "Search answers", "Answers with sources from your documents"),
    ("coding", "Code assistant", "Completion and review"),
    ("growth", "Campaign drafts", "Texts for campaigns and product pages"),
)
# (duty, address of a person or name of a group)
OWNERS = (
    ("responsible", ON_CALL),
    ("accountable", MANAGER),
    ("consulted", "Data protection"),
    ("informed", "Customer success"),
)
WORKAROUND = "Workaround: please try again after a minute."


def create_demo_telling() -> int:
    """Make them where no demo team has a component yet; returns how many messages were sent."""
    teams = {team.slug: team for team in Team.objects.filter(is_demo=True)}
    people = {user.email: user for user in User.objects.filter(email__in=(ON_CALL, MANAGER))}
    if StatusComponent.objects.filter(team__in=teams.values()).exists() or len(people) < 2:
        return 0
    _components(teams)
    _owners(teams, people)
    told = Incident.objects.filter(team__in=teams.values(), severity__lte=2, is_drill=False, resolved_at__isnull=False)
    return sum(_tell(incident, people) for incident in told.exclude(mitigated_at=None).select_related("team"))


def _components(teams: dict[str, Team]) -> None:
    for position, (slug, name, description) in enumerate(COMPONENTS):
        if slug in teams and not StatusComponent.objects.filter(name=name).exists():
            facts = {"name": name, "description": description, "position": position, "team": teams[slug]}
            save_component(author=DEMO, component=StatusComponent(**facts))


def _owners(teams: dict[str, Team], people: dict[str, User]) -> None:
    for team in teams.values():
        for duty, who in OWNERS:
            holder: dict[str, Any] = {"user": people[who]} if who in people else {"name": who}
            add_responsibility(author=DEMO, cell=Responsibility(team=team, duty=duty, **holder))


def _tell(incident: Incident, people: dict[str, User]) -> int:
    """An internal update and a first word to users while it lasted, a last one when it was over."""
    over = incident.resolved_at or incident.detected_at
    open_then = copy(incident)
    open_then.mitigated_at = open_then.resolved_at = None
    open_then.state = Incident.State.MITIGATING
    first = incident.detected_at + timedelta(minutes=18)
    _send(open_then, "internal", first, people)
    _send(open_then, "status", first + timedelta(minutes=4), people)
    _send(incident, "status", over, people)
    return 3


def _send(incident: Incident, kind: str, at: datetime, people: dict[str, User]) -> None:
    author, second = Author(user=people[ON_CALL]), Author(user=people[MANAGER])
    made = start_message(author=author, incident=incident, kind=kind, at=at)
    body = "\n".join(_filled(line) for line in made.body.splitlines())
    texts = {name: getattr(made, name) for name in ("subject", "next_update_minutes", "recipients")}
    made = edit_message(author=author, message=made, version=made.version, **texts, to_channels=False, body=body)
    if kind != Message.Kind.INTERNAL:
        made = approve(author=second, message=made, version=made.version, at=at)
    send(author=author, message=made, version=made.version, at=at)


def _filled(line: str) -> str:
    """What a person would have written in place of the brackets."""
    if line.startswith("Workaround: ["):
        return WORKAROUND
    return "Next steps: on call keeps watching the error rate." if line.startswith("Next steps: [") else line
