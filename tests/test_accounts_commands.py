"""The command line: apikey and createadmin; and the demo's people."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.access import can
from accounts.demo import create_demo_people, remove_demo_people
from accounts.models import ApiKey, AuditEntry, Membership, Team, User
from accounts.rules import secret_matches, split_key
from tests.cast import make_key

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_apikey_create_prints_the_key_and_nothing_else(cast):
    out = run("apikey", "create", "--team", "support", "--scopes", "ingest,read", "--environment", "prod")
    prefix, secret = split_key(out.strip())
    key = ApiKey.objects.get(prefix=prefix)
    assert secret_matches(secret, key.digest)
    assert (key.team, key.scopes, key.environment) == (cast.support, ["ingest", "read"], "prod")
    assert AuditEntry.objects.get(action="api_key.created").actor_label == "manage.py apikey"


def test_apikey_create_for_an_unknown_team_names_the_teams_there_are(cast):
    with pytest.raises(CommandError, match=r"no team 'sales'.*support"):
        run("apikey", "create", "--team", "sales", "--scopes", "read")
    assert not ApiKey.objects.exists()


def test_apikey_create_makes_the_team_when_asked_to(db):
    run("apikey", "create", "--team", "sales", "--scopes", "read", "--create-team")
    assert Team.objects.get().slug == "sales"
    with pytest.raises(CommandError, match="no slug"):
        run("apikey", "create", "--team", "Sales Team", "--scopes", "read", "--create-team")


@pytest.mark.parametrize("scopes", ["", "everything", "read,write"])
def test_apikey_create_refuses_unknown_scopes(cast, scopes):
    with pytest.raises(CommandError, match="ingest, read, guard"):
        run("apikey", "create", "--team", "support", f"--scopes={scopes}")


def test_apikey_list_and_revoke(cast):
    key, _ = make_key(cast.support)
    assert f"{key.prefix}\tsupport\tingest,read,guard\t-\tactive\tnever\ttest" in run("apikey", "list")
    assert "revoked" in run("apikey", "revoke", key.prefix)
    assert "was revoked already" in run("apikey", "revoke", key.prefix)
    assert "revoked" in run("apikey", "list", "--team", "support")
    assert run("apikey", "list", "--team", "search") == ""
    with pytest.raises(CommandError, match="no key"):
        run("apikey", "revoke", "nope")


def test_createadmin_prints_a_password_that_works(db):
    out = run("createadmin", "--email", "Boss@Desk.example")
    boss = User.objects.get(email="boss@desk.example")
    assert boss.check_password(out.split("Password: ")[1].strip())
    assert can(boss, "team.manage") and not boss.is_superuser


def test_createadmin_takes_the_password_from_the_environment_and_does_not_print_it(db, monkeypatch):
    monkeypatch.setenv("ADMIN_PASSWORD", "a long enough password")
    assert "password" not in run("createadmin", "--email", "boss@desk.example").lower()
    assert User.objects.get().check_password("a long enough password")


def test_createadmin_refuses_a_weak_password_and_a_second_run(db, monkeypatch):
    monkeypatch.setenv("ADMIN_PASSWORD", "weak")
    with pytest.raises(CommandError, match="too short"):
        run("createadmin", "--email", "boss@desk.example")
    monkeypatch.delenv("ADMIN_PASSWORD")
    run("createadmin", "--email", "boss@desk.example")
    with pytest.raises(CommandError, match="has an account already"):
        run("createadmin", "--email", "BOSS@desk.example")


@pytest.fixture
def demo_dir(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    return settings.DATA_DIR


def test_demo_people_can_sign_in_with_what_is_printed(db, client, demo_dir):
    logins = create_demo_people()
    assert [email.split("@")[0] for email, _, _ in logins] == ["oncall", "finance", "product", "exec", "admin"]
    email, password, role = logins[0]
    assert client.login(email=email, password=password)
    assert role == "Operator, demo teams"
    assert set(Team.objects.values_list("slug", "is_demo")) == {
        ("support", True),
        ("search", True),
        ("coding", True),
        ("growth", True),
    }


def test_the_demo_password_is_kept_for_the_owner_only(db, demo_dir):
    create_demo_people()
    assert (demo_dir / "demo_password").stat().st_mode & 0o777 == 0o600


def test_a_second_call_changes_nothing(db, demo_dir):
    first = create_demo_people()
    counted = (User.objects.count(), Team.objects.count(), Membership.objects.count(), AuditEntry.objects.count())
    hashes = set(User.objects.values_list("email", "password"))
    assert create_demo_people() == first
    assert counted == (
        User.objects.count(),
        Team.objects.count(),
        Membership.objects.count(),
        AuditEntry.objects.count(),
    )
    assert set(User.objects.values_list("email", "password")) == hashes


def test_a_lost_password_file_gives_a_new_password_that_works(db, demo_dir):
    (_, old, _), *_ = create_demo_people()
    (demo_dir / "demo_password").unlink()
    (email, new, _), *_ = create_demo_people()
    assert old != new
    assert User.objects.get(email=email).check_password(new)


def test_removing_the_demo_leaves_other_people_and_teams(cast, demo_dir):
    create_demo_people()
    remove_demo_people()
    assert User.objects.filter(email__endswith="@demo.example").count() == 0
    assert set(Team.objects.all()) == {cast.support, cast.search}
