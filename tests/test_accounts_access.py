"""Who may see and do what: the rules, and every settings page over HTTP for a stranger, a viewer and an admin."""

from itertools import takewhile
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404

from accounts.access import can, can_anywhere, get_team, grantors, require, teams_where, visible_teams
from accounts.models import Membership, User
from accounts.rules import CAPABILITIES
from tests.cast import make_key

DOCS = Path(__file__).parent.parent / "docs" / "accounts.md"
pytestmark = pytest.mark.django_db


def test_a_member_sees_their_own_teams_only(cast):
    assert list(visible_teams(cast.vera)) == [cast.support]


def test_an_organisation_wide_role_sees_every_team(cast):
    assert set(visible_teams(cast.emil)) == {cast.support, cast.search}


def test_a_newcomer_an_inactive_person_and_nobody_see_no_team(cast):
    cast.vera.is_active = False
    assert [list(visible_teams(who)) for who in (cast.newcomer, cast.vera, None)] == [[], [], []]


def test_a_superuser_may_do_everything(cast):
    root = User.objects.create_superuser("root@desk.example")
    assert set(visible_teams(root)) == {cast.support, cast.search}
    assert can(root, "demo.remove")


def test_another_teams_slug_is_not_found(cast):
    with pytest.raises(Http404):
        get_team(cast.stan, "support")


def test_a_team_role_counts_in_that_team_only(cast):
    assert can(cast.tara, "member.manage", cast.support)
    assert not can(cast.tara, "member.manage", cast.search)
    assert not can(cast.tara, "member.manage")


def test_an_organisation_wide_role_counts_in_every_team(cast):
    assert can(cast.fatima, "price.edit", cast.search)
    assert can(cast.fatima, "price.edit")


def test_roles_in_a_team_add_up(cast):
    Membership.objects.create(user=cast.vera, team=cast.support, role="finance")
    assert can(cast.vera, "price.edit", cast.support)


@pytest.mark.parametrize(
    ("who", "capability", "allowed"),
    [
        ("vera", "events.read", True),
        ("vera", "change.add", False),
        ("olu", "change.add", True),
        ("olu", "api_key.manage", False),
        ("mia", "api_key.manage", True),
        ("mia", "member.manage", False),
        ("sam", "audit.read", True),
        ("sam", "api_key.manage", False),
        ("fatima", "price.edit", True),
        ("fatima", "audit.read", False),
        ("tara", "member.manage", True),
        ("newcomer", "events.read", False),
    ],
)
def test_each_role_has_the_least_it_needs(cast, who, capability, allowed):
    assert can(getattr(cast, who), capability, cast.support) is allowed


# What a row of the table in the guide stands for.
DOCUMENTED = {
    "see the team, read events and traces": ("team.view", "events.read"),
    "add change markers": ("change.add",),
    "set modes, switches and limits": ("control.set",),
    "declare and work incidents, send their messages": ("incident.work",),
    "acknowledge and silence alerts; edit runbooks; decide in the weekly review": (
        "alert.acknowledge",
        "runbook.edit",
        "review.decide",
    ),
    "edit alert rules, objectives, on-call rotas and escalation": ("rule.edit", "oncall.edit"),
    "edit notification channels and routes": ("channel.manage",),
    "edit the public status page": ("status.edit",),
    "see private incidents": ("incident.private",),
    "make and revoke API keys": ("api_key.manage",),
    "record providers' limits": ("limit.edit",),
    "edit prices, re-price history; edit budgets": ("price.edit", "reprice.run", "budget.edit"),
    "approve large budget changes": ("budget.approve",),
    "call anomalies expected or dismiss them": ("anomaly.decide",),
    "read the audit log": ("audit.read",),
    "manage members; create and edit teams; remove demo data": ("member.manage", "team.manage", "demo.remove"),
}


def test_the_docs_list_exactly_the_rights_of_each_role():
    lines = DOCS.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| right |"))
    rows = [line.split("|")[1:-1] for line in takewhile(lambda line: line.startswith("|"), lines[start:])]
    roles = [cell.strip() for cell in rows[0][1:]]
    documented = {
        cells[0].strip(): {role for role, cell in zip(roles, cells[1:], strict=True) if cell.strip()}
        for cells in rows[2:]
    }
    assert documented.keys() == DOCUMENTED.keys()
    for right, names in DOCUMENTED.items():
        for name in names:
            assert documented[right] == CAPABILITIES[name].roles, (right, name)
    assert {name for names in DOCUMENTED.values() for name in names} == CAPABILITIES.keys()


def test_a_right_that_does_not_exist_is_an_error_not_a_no(cast):
    with pytest.raises(KeyError):
        can(cast.ada, "price.edti")


def test_require_names_the_missing_right_and_the_team(cast):
    with pytest.raises(PermissionDenied, match="make and revoke API keys in Support AI"):
        require(cast.vera, "api_key.manage", cast.support)


def test_rights_somewhere_and_where(cast):
    assert can_anywhere(cast.sam, "audit.read") and not can_anywhere(cast.vera, "audit.read")
    assert list(teams_where(cast.sam, "audit.read")) == [cast.support]
    assert list(teams_where(cast.vera, "audit.read")) == []


def test_those_who_can_grant_are_the_admins_of_team_and_organisation(cast):
    assert list(grantors(cast.support)) == [cast.ada, cast.tara]
    assert list(grantors(None)) == [cast.ada]


def test_roles_are_read_once_per_request(cast, django_assert_num_queries):
    someone = User.objects.get(pk=cast.vera.pk)
    with django_assert_num_queries(1):
        assert can(someone, "events.read", cast.support) and not can(someone, "price.edit", cast.support)


def pages(cast) -> dict[str, str]:
    """Every page below /settings/ that belongs to team support."""
    key, _ = make_key(cast.support)
    membership = Membership.objects.get(user=cast.olu)
    return {
        "team": "/settings/teams/support/",
        "edit": "/settings/teams/support/edit/",
        "new key": "/settings/teams/support/keys/new/",
        "revoke": f"/settings/teams/support/keys/{key.prefix}/revoke/",
        "role": f"/settings/members/{membership.pk}/role/",
        "remove": f"/settings/members/{membership.pk}/remove/",
    }


def statuses(client, user, addresses: dict[str, str]) -> dict[str, int]:
    client.force_login(user)
    return {name: client.get(address).status_code for name, address in addresses.items()}


def test_every_page_of_a_team_is_not_found_for_a_stranger(client, cast):
    assert set(statuses(client, cast.stan, pages(cast)).values()) == {404}


def test_a_viewer_sees_the_team_and_may_change_nothing(client, cast):
    found = statuses(client, cast.vera, pages(cast))
    assert found.pop("team") == 200
    assert set(found.values()) == {403}


def test_the_teams_admin_opens_every_page_of_it(client, cast):
    assert set(statuses(client, cast.tara, pages(cast)).values()) == {200}


def test_a_post_is_guarded_like_the_page(client, cast):
    client.force_login(cast.stan)
    assert client.post("/settings/teams/support/members/add/", {"email": "x@y.z", "role": "admin"}).status_code == 404
    client.force_login(cast.vera)
    assert client.post("/settings/teams/support/members/add/", {"email": "x@y.z", "role": "admin"}).status_code == 403
    assert not User.objects.filter(email="x@y.z").exists()


@pytest.mark.parametrize("path", ["teams/new/", "organisation/"])
def test_organisation_pages_need_an_organisation_wide_admin(client, cast, path):
    seen = {}
    for who in ("vera", "tara", "fatima", "ada"):
        client.force_login(getattr(cast, who))
        seen[who] = client.get(f"/settings/{path}").status_code
    assert seen == {"vera": 403, "tara": 403, "fatima": 403, "ada": 200}


def test_an_organisation_wide_membership_is_managed_by_the_organisations_admins_only(client, cast):
    membership = Membership.objects.get(user=cast.emil)
    client.force_login(cast.tara)
    assert client.post(f"/settings/members/{membership.pk}/remove/").status_code == 403
    assert Membership.objects.filter(pk=membership.pk).exists()


def test_the_audit_log_needs_the_right_somewhere(client, cast):
    seen = {}
    for who in ("vera", "sam", "ada"):
        client.force_login(getattr(cast, who))
        seen[who] = client.get("/settings/audit/").status_code
    assert seen == {"vera": 403, "sam": 200, "ada": 200}


def test_signed_out_people_are_sent_to_sign_in(client, cast):
    answer = client.get("/settings/teams/support/")
    assert answer.status_code == 302
    assert answer.url == "/accounts/login/?next=/settings/teams/support/"


@pytest.mark.parametrize(
    "path", ["profile/", "teams/", "teams/new/", "teams/support/", "teams/support/keys/new/", "organisation/", "audit/"]
)
def test_each_page_has_exactly_one_heading(client, cast, path):
    client.force_login(cast.ada)
    assert client.get(f"/settings/{path}").content.count(b"<h1") == 1
