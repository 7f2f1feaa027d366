"""Teams and their people over HTTP."""

import pytest
from django.db import IntegrityError, transaction

from accounts.models import AuditEntry, Membership, Team, User
from tests.cast import make_team

pytestmark = pytest.mark.django_db


def test_an_admin_creates_a_team_and_it_is_written_down(client, cast):
    client.force_login(cast.ada)
    answer = client.post("/settings/teams/new/", {"name": "Growth", "slug": "growth", "cost_center": "CC-7"})
    assert answer.url == "/settings/teams/growth/"
    entry = AuditEntry.objects.get(action="team.created", team_label="growth")
    assert (entry.actor, entry.after["cost_center"], entry.ip) == (cast.ada, "CC-7", "127.0.0.1")


@pytest.mark.parametrize("slug", ["support", "Growth", "-growth", "gro wth", ""])
def test_a_taken_or_bad_short_name_is_rejected_at_the_field(client, cast, slug):
    client.force_login(cast.ada)
    answer = client.post("/settings/teams/new/", {"name": "Growth", "slug": slug})
    assert 'id="id_slug_error"' in answer.content.decode()
    assert 'aria-invalid="true"' in answer.content.decode()
    assert Team.objects.count() == 2


def test_the_database_refuses_an_upper_case_slug(cast):
    with pytest.raises(IntegrityError), transaction.atomic():
        make_team("Support2")


def test_an_edit_keeps_the_slug_and_records_before_and_after(client, cast):
    client.force_login(cast.tara)
    client.post("/settings/teams/support/edit/", {"name": "Help", "cost_center": "", "slug": "other"})
    cast.support.refresh_from_db()
    assert (cast.support.name, cast.support.slug) == ("Help", "support")
    entry = AuditEntry.objects.get(action="team.edited")
    assert (entry.before["name"], entry.after["name"]) == ("Support AI", "Help")


def test_an_edit_that_changes_nothing_is_not_written_down(client, cast):
    client.force_login(cast.tara)
    client.post("/settings/teams/support/edit/", {"name": "Support AI", "cost_center": ""})
    assert not AuditEntry.objects.filter(action="team.edited").exists()


def add(client, email: str, role: str = "viewer", where: str = "teams/support/members/add/"):
    return client.post(f"/settings/{where}", {"email": email, "role": role})


def test_a_known_person_is_added_without_a_new_account(client, cast):
    client.force_login(cast.tara)
    assert add(client, " Newcomer@Desk.example ", "operator").status_code == 302
    assert Membership.objects.get(user=cast.newcomer).role == "operator"
    assert AuditEntry.objects.get(action="member.added").after == {"role": "operator"}


def test_an_unknown_person_gets_an_account_and_a_password_shown_once(client, cast):
    client.force_login(cast.tara)
    answer = add(client, "new@desk.example")
    password = answer.context["password"]
    assert password in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert User.objects.get(email="new@desk.example").check_password(password)
    assert password not in str(AuditEntry.objects.values())


def test_the_same_role_twice_is_rejected_with_a_reason(client, cast):
    client.force_login(cast.tara)
    answer = add(client, "vera@desk.example")
    assert answer.status_code == 400
    assert "already has the role Viewer" in answer.content.decode()


def test_an_organisation_wide_role_cannot_be_held_twice(client, cast):
    client.force_login(cast.ada)
    assert add(client, "emil@desk.example", where="organisation/members/add/").status_code == 400
    assert Membership.objects.filter(user=cast.emil).count() == 1


def test_a_bad_address_and_an_unknown_role_are_rejected(client, cast):
    client.force_login(cast.tara)
    assert add(client, "no address").status_code == 400
    assert add(client, "x@desk.example", "owner").status_code == 400
    assert not User.objects.filter(email="x@desk.example").exists()


def test_a_role_is_changed_and_written_down(client, cast):
    client.force_login(cast.tara)
    membership = Membership.objects.get(user=cast.vera)
    client.post(f"/settings/members/{membership.pk}/role/", {"role": "operator"})
    membership.refresh_from_db()
    assert membership.role == "operator"
    entry = AuditEntry.objects.get(action="member.role_changed")
    assert (entry.before, entry.after, entry.team) == ({"role": "viewer"}, {"role": "operator"}, cast.support)


def test_a_removed_member_no_longer_finds_the_team(client, cast):
    client.force_login(cast.tara)
    client.post(f"/settings/members/{Membership.objects.get(user=cast.vera).pk}/remove/")
    client.force_login(cast.vera)
    assert client.get("/settings/teams/support/").status_code == 404
    assert AuditEntry.objects.get(action="member.removed").before == {"role": "viewer"}


def test_the_last_admin_of_the_organisation_can_neither_leave_nor_step_down(client, cast):
    client.force_login(cast.ada)
    membership = Membership.objects.get(user=cast.ada)
    assert client.post(f"/settings/members/{membership.pk}/remove/").status_code == 400
    answer = client.post(f"/settings/members/{membership.pk}/role/", {"role": "viewer"})
    assert "last admin" in answer.content.decode()
    membership.refresh_from_db()
    assert membership.role == "admin"


def test_the_team_list_has_a_fixed_number_of_queries(client, cast, django_assert_max_num_queries):
    client.force_login(cast.ada)
    for number in range(20):
        make_team(f"team{number}")
    with django_assert_max_num_queries(8):  # four of them for the strip: alerts, controls, incidents, on call
        assert client.get("/settings/teams/").status_code == 200


def test_a_newcomer_is_told_how_to_get_in(client, cast):
    client.force_login(cast.newcomer)
    assert "Ask an admin" in client.get("/settings/teams/").content.decode()


def test_the_profile_saves_zone_and_theme(client, cast):
    client.force_login(cast.vera)
    form = {"first_name": "Vera", "last_name": "V", "time_zone": "Europe/Berlin", "theme": "dark"}
    answer = client.post("/settings/profile/", form)
    assert answer.cookies["theme"].value == "dark"
    cast.vera.refresh_from_db()
    assert (cast.vera.time_zone, cast.vera.theme) == ("Europe/Berlin", "dark")


def test_an_unknown_time_zone_is_rejected_at_the_field(client, cast):
    client.force_login(cast.vera)
    form = {"first_name": "", "last_name": "", "time_zone": "Mars/Olympus", "theme": "dark"}
    assert 'id="id_time_zone_error"' in client.post("/settings/profile/", form).content.decode()
