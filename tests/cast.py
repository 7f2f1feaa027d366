"""The cast: the same teams, people and keys in every test.

`pytest_plugins = ["tests.cast"]` in conftest makes the fixtures known; the functions make further characters.
Nobody has a password (hashing is slow on purpose); sign in with `client.force_login(cast.vera)`.
"""

from dataclasses import dataclass

import pytest

from accounts.actions import create_api_key, create_team
from accounts.models import ApiKey, Membership, Role, Team, User


def make_team(slug: str = "support", name: str = "") -> Team:
    return create_team(slug=slug, name=name or slug.title())


def make_user(name: str, role: str = "", team: Team | None = None, password: str | None = None) -> User:
    """`name`@desk.example, with `role` in `team` (None: the whole organisation); without a role, a newcomer."""
    user = User.objects.create_user(f"{name}@desk.example", password, first_name=name.title())
    if role:
        Membership.objects.create(user=user, team=team, role=role)
    return user


def make_key(team: Team, *scopes: str, environment: str = "") -> tuple[ApiKey, str]:
    """(row, text) of a new key; all scopes unless some are named."""
    return create_api_key(team=team, name="test", scopes=scopes or ("ingest", "read", "guard"), environment=environment)


def bearer(text: str) -> dict[str, str]:
    """Keyword argument `headers` of the test client: `client.get(url, headers=bearer(text))`."""
    return {"Authorization": f"Bearer {text}"}


@dataclass
class Cast:
    """Team support and everyone in it; team search, which is another team; people of the whole organisation."""

    support: Team
    search: Team
    vera: User  # viewer of support
    olu: User  # operator of support
    mia: User  # maintainer of support
    sam: User  # security of support
    tara: User  # admin of support
    stan: User  # admin of search: a stranger to support
    fatima: User  # finance, organisation-wide
    emil: User  # viewer, organisation-wide
    ada: User  # admin, organisation-wide
    newcomer: User  # no role anywhere


def make_cast() -> Cast:
    support, search = make_team("support", "Support AI"), make_team("search", "Search & Answers")
    return Cast(
        support=support,
        search=search,
        vera=make_user("vera", Role.VIEWER, support),
        olu=make_user("olu", Role.OPERATOR, support),
        mia=make_user("mia", Role.MAINTAINER, support),
        sam=make_user("sam", Role.SECURITY, support),
        tara=make_user("tara", Role.ADMIN, support),
        stan=make_user("stan", Role.ADMIN, search),
        fatima=make_user("fatima", Role.FINANCE),
        emil=make_user("emil", Role.VIEWER),
        ada=make_user("ada", Role.ADMIN),
        newcomer=make_user("newcomer"),
    )


@pytest.fixture
def cast(db) -> Cast:
    return make_cast()


@pytest.fixture
def support_key(cast) -> str:
    """Text of a key of team support with every scope."""
    return make_key(cast.support)[1]
