"""Budget pages over HTTP: access, list, preview, edit, approval, CSV, bulk."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from accounts.models import Role
from budgets.actions import create_budget, decide_change, edit_budget
from budgets.facts import FACT_NAMES, check, facts_of
from budgets.models import Budget
from budgets.queries.standing import standings
from budgets.rules.periods import period_of
from tests.cast import bearer, make_user
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db


def make(cast, name="Support, monthly", **more) -> Budget:
    facts = {"name": name, "team": "support", "limit": "100"} | more
    return create_budget(author=Author(user=cast.fatima), draft=check(facts, teams=[cast.support, cast.search]))


def form(**more) -> dict:
    return {
        "name": "Support, monthly",
        "team": "support",
        "limit": "100",
        "unit": "usd",
        "period": "month",
        "time_zone": "UTC",
        "anchor": "1",
        "enforcement": "hard",
        "on_failure": "open",
        "rollover_share": "0",
        "approval_share": "0.2",
        "notify": "70, 85",
        "conserve": "90",
    } | more


def test_a_strangers_budget_is_404_on_every_page(client, cast):
    budget = make(cast)
    client.force_login(cast.stan)
    for name in ("detail", "edit", "history"):
        assert client.get(reverse(f"budget-{name}", args=[budget.pk])).status_code == 404
    for name in ("undo", "end", "grant-add"):
        assert client.post(reverse(f"budget-{name}", args=[budget.pk])).status_code == 404
    assert "Support, monthly" not in client.get(reverse("budget-list")).content.decode()


def test_the_organisations_budget_is_not_a_teams_members_to_see(client, cast):
    budget = make(cast, team="", name="Everything")
    client.force_login(cast.tara)
    assert client.get(reverse("budget-detail", args=[budget.pk])).status_code == 404
    client.force_login(cast.emil)
    assert client.get(reverse("budget-detail", args=[budget.pk])).status_code == 200


def test_a_viewer_sees_but_may_not_edit(client, cast):
    budget = make(cast)
    client.force_login(cast.vera)
    assert client.get(reverse("budget-detail", args=[budget.pk])).status_code == 200
    assert client.get(reverse("budget-edit", args=[budget.pk])).status_code == 403
    assert client.get(reverse("budget-add")).status_code == 403
    assert client.post(reverse("budget-bulk"), {"budget": budget.pk, "percent": "10"}).status_code == 403


def test_a_budget_is_made_by_the_form(client, cast):
    client.force_login(cast.fatima)
    answer = client.post(reverse("budget-add"), form(owner="emil@desk.example"))
    budget = Budget.objects.get()
    assert answer.url == reverse("budget-detail", args=[budget.pk])
    assert [(row.percent, row.action) for row in budget.thresholds.all()] == [
        (70, "notify"),
        (85, "notify"),
        (90, "conserve"),
    ]
    assert (budget.owner, budget.enforcement) == (cast.emil, "hard")


def test_a_bad_form_names_the_field_and_keeps_what_was_typed(client, cast):
    client.force_login(cast.fatima)
    answer = client.post(reverse("budget-add"), form(limit="lots", notify="70, x"))
    page = answer.content.decode()
    assert "must be a number above 0" in page and "Each percent" in page and 'value="lots"' in page
    assert not Budget.objects.exists()


def test_a_team_admin_cannot_make_another_teams_budget(client, cast):
    client.force_login(cast.tara)
    client.post(reverse("budget-add"), form(team="search"))
    client.post(reverse("budget-add"), form(team=""))
    assert not Budget.objects.exists()


def test_the_standing_counts_the_slice_in_the_current_period_only(cast):
    now = timezone.now()
    budget = make(cast, feature="chat", unit="requests", limit="10")
    start, _ = period_of(budget, now)
    record(cast.support, now - timedelta(seconds=90), 3, feature="chat")
    record(cast.support, now - timedelta(seconds=90), 2, feature="search")
    record(cast.search, now - timedelta(seconds=90), 2, feature="chat")
    record(cast.support, start - timedelta(hours=1), 4, feature="chat")
    drain()
    one = standings([budget], timezone.now())[0]
    if now - start > timedelta(minutes=5):
        assert (one.used, one.left, one.share) == (3, 7, Decimal("0.3"))


def test_hundreds_of_team_budgets_take_few_queries(client, cast, django_assert_max_num_queries):
    for number in range(60):
        make(cast, name=f"Budget {number}", feature=f"feature-{number}")
    client.force_login(cast.fatima)
    with django_assert_max_num_queries(25):
        assert client.get(reverse("budget-list")).status_code == 200


def test_a_users_budget_is_counted_from_the_events(cast):
    now = timezone.now()
    budget = make(cast, user_hash="u1", unit="tokens", limit="5000", period="hour")
    record(cast.support, max(period_of(budget, now)[0], now - timedelta(seconds=2)), 2, user_hash="u1")
    record(cast.support, max(period_of(budget, now)[0], now - timedelta(seconds=2)), 1, user_hash="u2")
    assert standings([budget], timezone.now() + timedelta(seconds=1))[0].used == 2200


def test_unknown_cost_is_shown_and_not_counted_as_nothing(client, cast):
    budget = make(cast)
    record(cast.support, timezone.now(), 2, model="no-such-model", provider="")
    drain()
    client.force_login(cast.fatima)
    page = client.get(reverse("budget-detail", args=[budget.pk])).content.decode()
    assert "no known cost" in page


def test_the_preview_says_when_it_would_have_degraded_and_blocked(client, cast):
    now = timezone.now()
    draft = check({"name": "x", "limit": "1", "period": "day"}, teams=[])
    budget = Budget()
    draft.put_into(budget)
    yesterday = period_of(budget, now)[0] - timedelta(days=1)
    record(cast.support, yesterday + timedelta(hours=3), 8)
    record(cast.support, yesterday + timedelta(hours=9), 2)
    drain()
    client.force_login(cast.fatima)
    page = client.post(
        reverse("budget-preview"), form(unit="requests", limit="10", period="day", conserve="80", block="100")
    ).content.decode()
    assert "degraded to conserve mode on" in page and "03:00" in page
    assert "denied calls on" in page and "09:00" in page


def test_an_edit_through_the_form_waits_for_approval_when_it_is_large(client, cast):
    budget = make(cast)
    felix = make_user("felix", Role.FINANCE)
    client.force_login(cast.fatima)
    client.post(
        reverse("budget-edit", args=[budget.pk]), form(limit="500", reason="Launch", base_version="1"), follow=True
    )
    change = budget.pending_changes.get()
    assert "Waits for a second person" in client.get(reverse("budget-detail", args=[budget.pk])).content.decode()
    client.post(reverse("budget-change-decide", args=[change.pk]), {"decision": "approve"})
    budget.refresh_from_db()
    assert budget.limit == 100
    client.force_login(felix)
    assert "Approve" in client.get(reverse("budget-approvals")).content.decode()
    client.post(reverse("budget-change-decide", args=[change.pk]), {"decision": "approve", "note": "ok"})
    budget.refresh_from_db()
    assert budget.limit == 500


def test_history_and_undo(client, cast):
    budget = make(cast)
    author = Author(user=cast.fatima)
    draft = check(facts_of(budget) | {"limit": "110"}, teams=[cast.support])
    edit_budget(author=author, budget=budget, base_version=1, draft=draft, reason="A little more")
    client.force_login(cast.fatima)
    page = client.get(reverse("budget-history", args=[budget.pk])).content.decode()
    assert "A little more" in page and "<del>100 USD</del>" in page and "<ins>110 USD</ins>" in page
    client.post(reverse("budget-undo", args=[budget.pk]), {"base_version": "2"})
    budget.refresh_from_db()
    assert (budget.limit, budget.version) == (100, 3)


def test_a_budget_moved_between_teams_does_not_name_a_team_its_reader_may_not_see(client, cast):
    budget = make(cast)
    moved = check(facts_of(budget) | {"team": "search"}, teams=[cast.search])
    asked = edit_budget(author=Author(user=cast.fatima), budget=budget, base_version=1, draft=moved, reason="Theirs")
    decide_change(author=Author(user=cast.ada), change=asked.pending, approve=True)
    address = reverse("budget-history", args=[budget.pk])
    client.force_login(cast.stan)
    page = client.get(address).content.decode()
    assert "<del>another team</del>" in page and "Search &amp; Answers" in page and "Support AI" not in page
    assert "Back to this" not in page
    client.force_login(cast.fatima)
    page = client.get(address).content.decode()
    assert "<del>Support AI</del>" in page and "Back to this" in page


def test_ending_and_taking_up_again(client, cast):
    budget = make(cast)
    client.force_login(cast.fatima)
    client.post(reverse("budget-end", args=[budget.pk]), {"base_version": "1", "reason": "Over"})
    assert client.get(reverse("budget-list")).context["count"] == 0
    assert "Support, monthly" in client.get(reverse("budget-list") + "?show=ended").content.decode()
    client.post(reverse("budget-end", args=[budget.pk]), {"base_version": "2", "reason": "Back"})
    budget.refresh_from_db()
    assert (budget.is_active, budget.version) == (True, 3)


# --- CSV and bulk -----------------------------------------------------------------------------------------------
def imported(client, text, **more):
    return client.post(reverse("budget-import"), {"text": text, **more})


def confirmed(client, text, reason="New year"):
    first = imported(client, text)
    return imported(client, text, confirm=first.context["seen"], reason=reason)


def test_an_export_imported_again_changes_nothing(client, cast):
    make(cast, note="=1+1, says the note", thresholds=[{"percent": "90.5", "action": "block"}])
    make(cast, name="Everything", team="", limit="0.000000000001")
    client.force_login(cast.fatima)
    text = client.get(reverse("budget-csv")).content.decode()
    assert text.splitlines()[0] == ",".join(FACT_NAMES) and "'=1+1" in text
    answer = imported(client, text)
    assert (answer.context["plans"], answer.context["same"]) == ([], 2)


def test_an_import_is_a_dry_run_until_it_is_confirmed(client, cast):
    make(cast)
    client.force_login(cast.fatima)
    text = 'name,team,limit,thresholds\r\n"Support, monthly",support,90,\r\nSearch,search,50,80:conserve 100:block\r\n'
    first = imported(client, text)
    assert [(plan.kind, plan.name) for plan in first.context["plans"]] == [
        ("change", "Support, monthly"),
        ("add", "Search"),
    ]
    assert Budget.objects.count() == 1
    confirmed(client, text)
    assert {b.name: b.limit for b in Budget.objects.all()} == {"Support, monthly": 90, "Search": 50}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "Choose a file"),
        ("a,b\r\n1,2", "at least name and limit"),
        ("name,limit,colour\r\nx,1,red", "no column “colour”"),
        ("name,limit\r\nx,1,2", "more cells"),
        ('name,limit\r\n"x,1', "cannot be read"),
        ("name,limit,limit\r\nx,1,1", "twice"),
    ],
)
def test_a_file_that_is_no_table_is_400_and_says_why(client, cast, text, part):
    client.force_login(cast.fatima)
    answer = imported(client, text)
    assert answer.status_code == 400 and part in answer.content.decode()


def test_one_bad_line_stops_all_and_is_named(client, cast):
    client.force_login(cast.fatima)
    answer = confirmed(client, "name,limit\r\nGood,5\r\nBad,-1\r\n")
    assert answer.status_code == 400 and "limit: This must be a number above 0" in answer.content.decode()
    assert not Budget.objects.exists()


def test_a_name_with_control_characters_is_refused_because_mails_carry_it(client, cast):
    client.force_login(cast.fatima)
    (plan,) = imported(client, 'name,limit\r\n"Support\nBcc: all@desk.example",5\r\n').context["plans"]
    assert plan.problems == ["name: This must be text without control characters."]


def test_a_search_that_finds_no_budget_does_not_call_them_on_pace(client, cast):
    make(cast)
    client.force_login(cast.fatima)
    page = client.get(reverse("budget-list"), {"q": "nothing like it"}).content.decode()
    assert "None fits what is chosen here" in page and "on pace" not in page


def test_a_team_admin_imports_for_the_own_team_only(client, cast):
    client.force_login(cast.tara)
    answer = imported(client, "name,team,limit\r\nA,support,1\r\nB,search,1\r\nC,,1\r\n")
    assert [plan.kind for plan in answer.context["plans"]] == ["add", "error", "error"]


def test_an_import_made_on_an_older_state_is_shown_again(client, cast):
    budget = make(cast)
    client.force_login(cast.fatima)
    text = 'name,team,limit\r\n"Support, monthly",support,90\r\n'
    first = imported(client, text)
    draft = check(facts_of(budget) | {"limit": "80"}, teams=[cast.support])
    edit_budget(author=Author(user=cast.fatima), budget=budget, base_version=1, draft=draft, reason="Meanwhile")
    answer = imported(client, text, confirm=first.context["seen"], reason="x")
    assert "changed since the dry run" in answer.content.decode()
    budget.refresh_from_db()
    assert budget.limit == 80


def test_limits_of_a_selection_are_changed_together(client, cast):
    one, two = make(cast), make(cast, name="Tokens", unit="tokens", limit="1001")
    client.force_login(cast.fatima)
    data = {"budget": [one.pk, two.pk], "percent": "-10"}
    first = client.post(reverse("budget-bulk"), data)
    client.post(reverse("budget-bulk"), data | {"confirm": first.context["seen"], "reason": "Savings"})
    assert sorted(b.limit for b in Budget.objects.all()) == [90, 901]


def test_an_upload_too_large_or_not_utf8_is_refused(client, cast):
    client.force_login(cast.fatima)
    for content, part in ((b"x" * 2_000_001, "most is"), (b"name,limit\r\n\xff,1", "not UTF-8")):
        answer = client.post(reverse("budget-import"), {"file": SimpleUploadedFile("b.csv", content)})
        assert answer.status_code == 400 and part in answer.content.decode()


def test_the_api_lists_the_teams_budgets_and_where_they_stand(client, cast, support_key):
    make(cast, unit="requests", limit="10", period="hour")
    make(cast, name="Theirs", team="search")
    make(cast, name="Everything", team="")
    rows = client.get(reverse("api-budgets"), headers=bearer(support_key)).json()
    assert [(one["name"], one["limit"], one["used"], one["left"]) for one in rows] == [
        ("Support, monthly", "10.000000000000", "0", "10.000000000000")
    ]


# --- In its row ---------------------------------------------------------------------------------------------------
def change_limit(client, budget, limit, **more):
    data = {"limit": limit, "reason": "More traffic", "base_version": budget.version} | more
    return client.post(reverse("budget-limit", args=[budget.pk]), data, follow=True).content.decode()


def test_a_limit_is_changed_in_its_row(cast, client):
    budget = make(cast)
    client.force_login(cast.fatima)
    page = client.get(reverse("budget-list")).content.decode()
    assert reverse("budget-limit", args=[budget.pk]) in page and reverse("budget-edit", args=[budget.pk]) in page
    fields = client.get(reverse("budget-limit", args=[budget.pk])).content.decode()
    assert f'form="limit-form-{budget.pk}"' in fields and f'id="limit-form-{budget.pk}"' in page
    tried = client.get(reverse("budget-limit", args=[budget.pk]), {"limit": "90"}).content.decode()
    assert "these calls used" in tried
    assert "is changed" in change_limit(client, budget, "90")
    budget.refresh_from_db()
    assert budget.limit == 90 and budget.revisions.first().reason == "More traffic"


def test_in_its_row_a_large_increase_waits_for_approval_too(cast, client):
    budget = make(cast)
    client.force_login(cast.fatima)
    assert "Asked for approval" in change_limit(client, budget, "900")
    budget.refresh_from_db()
    assert budget.limit == 100 and budget.pending_changes.count() == 1


@pytest.mark.parametrize(("limit", "more"), [("much", {}), ("90", {"reason": " "}), ("90", {"base_version": 7})])
def test_in_its_row_nothing_changes_without_a_limit_a_reason_and_the_version_seen(cast, client, limit, more):
    budget = make(cast)
    client.force_login(cast.fatima)
    assert "is as it was" in change_limit(client, budget, limit, **more)
    budget.refresh_from_db()
    assert budget.limit == 100 and budget.revisions.count() == 1


def test_who_may_not_edit_gets_no_fields(cast, client):
    budget = make(cast)
    client.force_login(cast.vera)
    assert reverse("budget-limit", args=[budget.pk]) not in client.get(reverse("budget-list")).content.decode()
    assert client.get(reverse("budget-limit", args=[budget.pk])).status_code == 403
    client.force_login(cast.stan)
    assert client.get(reverse("budget-limit", args=[budget.pk])).status_code == 404
