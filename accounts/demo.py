"""The demo's teams and people. Everything made here is marked (team.is_demo, @demo.example) and removable."""

import os
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction

from accounts.actions import add_member, create_team
from accounts.models import Membership, Role, Team, User
from accounts.rules import random_text

DEMO_DOMAIN = "demo.example"
DEMO_TEAMS = {
    "support": "Support AI",
    "search": "Search & Answers",
    "coding": "Coding Assistant",
    "growth": "Growth",
}
# (name before the @, first name, role, whether it holds for the whole organisation or for the demo teams)
DEMO_PEOPLE = [
    ("oncall", "Olu", Role.OPERATOR, False),
    ("finance", "Fatima", Role.FINANCE, True),
    ("product", "Pia", Role.VIEWER, False),
    ("exec", "Emil", Role.VIEWER, True),
    ("admin", "Ada", Role.ADMIN, True),
]


def _address(name: str) -> str:
    return f"{name}@{DEMO_DOMAIN}"


def demo_password(path: Path) -> str:
    """The password of all demo people of this install: made once, kept readable by the owner only."""
    if path.exists():
        return path.read_text().strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as kept:
        kept.write(password := random_text(16))
    return password


def create_demo_teams() -> list[Team]:
    """The four demo teams; those that exist stay as they are."""
    known = Team.objects.in_bulk(DEMO_TEAMS, field_name="slug")
    return [known.get(slug) or create_team(slug=slug, name=name, is_demo=True) for slug, name in DEMO_TEAMS.items()]


def _give_role(email: str, role: str, team: Team | None) -> None:
    if not Membership.objects.filter(user__email=email, team=team, role=role).exists():
        add_member(email=email, role=role, team=team)


def _set_password(user: User, password: str, encoded: str) -> None:
    """Make the printed password true, whichever the row has. Hashing is slow on purpose, so compare hashes first."""
    if user.password != encoded and not user.check_password(password):
        user.password = encoded
        user.save(update_fields=["password"])


@transaction.atomic
def create_demo_people() -> list[tuple[str, str, str]]:
    """Demo teams and people; returns (e-mail, password, role in words) of each. Safe to call at every start."""
    teams = create_demo_teams()
    password = demo_password(settings.DATA_DIR / "demo_password")
    kept = User.objects.filter(email=_address(DEMO_PEOPLE[0][0])).values_list("password", flat=True).first()
    encoded = kept if kept and check_password(password, kept) else make_password(password)
    logins = []
    for name, first_name, role, everywhere in DEMO_PEOPLE:
        user, _ = User.objects.get_or_create(email=_address(name), defaults={"first_name": first_name})
        _set_password(user, password, encoded)
        for team in [None] if everywhere else teams:
            _give_role(user.email, role, team)
        logins.append((user.email, password, f"{role.label}, {'organisation' if everywhere else 'demo teams'}"))
    return logins


@transaction.atomic
def remove_demo_people() -> None:
    """Remove the demo people and teams. Whoever calls it removes the teams' events first."""
    User.objects.filter(email__endswith=f"@{DEMO_DOMAIN}").delete()
    Team.objects.filter(is_demo=True).delete()
