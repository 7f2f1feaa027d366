"""The audit log: nothing changes it, and its page finds and explains."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.actions import audit, edit_team
from accounts.models import AuditEntry
from accounts.queries import AUDIT_PAGE
from accounts.rules import changed_facts

pytestmark = pytest.mark.django_db


def write(cast, number: int = 1, **changes) -> AuditEntry:
    facts = {"actor": cast.ada, "action": "price.edited", "target": f"price {number}", "team": cast.support}
    return audit(**facts | changes)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE accounts_auditentry SET reason = 'x'", "DELETE FROM accounts_auditentry"],
)
def test_the_database_refuses_to_change_or_drop_an_entry(cast, statement):
    write(cast)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_truncate_is_refused_by_a_trigger_too(cast):
    # It lets the test runner's own databases pass, so here only its presence can be seen.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'accounts_auditentry'::regclass AND tgtype & 32 <> 0"
        )
        assert cursor.fetchone() == (1,)


def test_an_entry_older_than_the_retention_may_go(cast):
    AuditEntry.objects.all().count()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_auditentry (at, actor_label, team_label, action, target, reason) "
            "VALUES (now() - interval '25 months', 'x', '', 'a.b', 't', '')"
        )
        cursor.execute("DELETE FROM accounts_auditentry WHERE at < now() - interval '24 months'")
        assert cursor.rowcount == 1


def test_deleting_a_person_and_a_team_leaves_their_entries_as_written(cast):
    entry = write(cast)
    cast.ada.delete()
    cast.support.delete()
    kept = AuditEntry.objects.get(pk=entry.pk)
    assert (kept.actor_label, kept.team_label) == ("ada@desk.example", "support")


def test_a_change_and_its_entry_are_one_transaction(cast):
    with pytest.raises(RuntimeError), transaction.atomic():
        edit_team(team=cast.support, name="Other", cost_center="", actor=cast.ada)
        raise RuntimeError("something later fails")
    cast.support.refresh_from_db()
    assert cast.support.name == "Support AI"
    assert not AuditEntry.objects.filter(action="team.edited").exists()


def test_the_difference_lists_what_changed_and_only_that():
    assert changed_facts({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == [("b", 2, 3), ("c", None, 4)]
    assert changed_facts(None, {"a": 1}) == [("a", None, 1)]
    assert changed_facts({"a": 1}, None) == [("a", 1, None)]


def targets(client, query: str = "") -> list[str]:
    return [entry.target for entry in client.get(f"/settings/audit/{query}").context["entries"]]


def test_the_page_shows_before_and_after(client, cast):
    write(cast, before={"rate": "2.50"}, after={"rate": "2.00"}, reason="new contract")
    client.force_login(cast.ada)
    page = client.get("/settings/audit/?action=price.edited").content.decode()
    assert "<del>2.50</del>" in page and "<ins>2.00</ins>" in page and "new contract" in page


def test_a_reader_of_one_team_sees_the_entries_of_that_team_only(client, cast):
    write(cast, 1)
    write(cast, 2, team=cast.search)
    write(cast, 3, team=None)
    client.force_login(cast.sam)
    assert targets(client, "?action=price.edited") == ["price 1"]


def test_another_team_is_not_a_filter_choice(client, cast):
    client.force_login(cast.sam)
    answer = client.get("/settings/audit/?team=search")
    assert answer.context["form"].errors["team"]


def test_filters_narrow_by_team_actor_and_time(client, cast):
    write(cast, 1)
    write(cast, 2, team=cast.search, actor=cast.stan)
    client.force_login(cast.ada)
    today = timezone.now().date()
    assert targets(client, "?action=price.edited&team=search") == ["price 2"]
    assert targets(client, "?action=price.edited&actor=ADA") == ["price 1"]
    assert targets(client, f"?action=price.edited&start={today}&end={today}") == ["price 2", "price 1"]
    assert targets(client, f"?action=price.edited&start={today + timedelta(days=1)}") == []


def test_a_nonsense_filter_is_an_error_at_the_field_not_a_crash(client, cast):
    client.force_login(cast.ada)
    answer = client.get("/settings/audit/?start=yesterday&before=x&action=nope")
    assert answer.status_code == 200
    assert "id_start_error" in answer.content.decode()


def test_pages_continue_where_the_last_one_ended(client, cast):
    for number in range(AUDIT_PAGE + 3):
        write(cast, number)
    client.force_login(cast.ada)
    first = client.get("/settings/audit/?action=price.edited")
    assert len(first.context["entries"]) == AUDIT_PAGE
    write(cast, 999)
    assert targets(client, first.context["older_url"]) == ["price 2", "price 1", "price 0"]


def test_the_page_has_a_fixed_number_of_queries(client, cast, django_assert_max_num_queries):
    for number in range(30):
        write(cast, number)
    client.force_login(cast.ada)
    with django_assert_max_num_queries(10):
        client.get("/settings/audit/")
