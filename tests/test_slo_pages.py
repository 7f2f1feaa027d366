"""The pages and the API of objectives, and what the executive and incident views say of them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.actions import Author
from incidents.actions.slos import save_slo
from incidents.models import Slo
from incidents.views.slos import LISTED
from tests.cast import bearer
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)

FORM = {
    "name": "Support answers",
    "indicator": "success",
    "target": "99.5",
    "window_days": "28",
    "exclusions": "environment = drill, dev\nerror_type = content_policy",
    "min_events": "50",
}


def page(client, path: str, user, status: int = 200) -> str:
    client.force_login(user)
    answer = client.get(path)
    assert answer.status_code == status, answer.content[:500]
    return answer.content.decode()


def make(team, **facts) -> Slo:
    values = {"name": "Answers", "indicator": "success", "target": Decimal("0.9"), "team": team}
    return save_slo(author=Author(label="test"), slo=Slo(), values=values | facts)


@pytest.fixture
def traffic(cast):
    at = timezone.now() - timedelta(minutes=10)
    record(cast.support, at, 95)
    record(cast.support, at, 5, status="error", error_type="timeout", feature="drafts")
    drain()


def test_the_list_says_what_is_kept_and_what_is_missed(client, cast, traffic):
    make(cast.support)
    make(cast.support, name="Strict", target=Decimal("0.99"))
    text = page(client, "/slos/", cast.vera)
    assert "1 of 2 objectives kept. Missed: Strict." in text
    assert "95.00 %" in text
    assert "5 bad of 10 requests allowed" in text
    assert "overspent" in text


def test_a_long_list_shows_the_worst_first_and_the_rest_when_asked(client, cast):
    Slo.objects.bulk_create(
        Slo(name=f"Promise {number}", team=cast.support, indicator="success", target=Decimal("0.99"))
        for number in range(LISTED + 3)
    )
    client.force_login(cast.olu)
    short, whole = (client.get(f"/slos/?team=support{rows}").text for rows in ("", "&rows=all"))
    assert short.count("Promise ") == LISTED
    assert "3 more" in short
    assert "?team=support&amp;show=&amp;rows=all" in short
    assert whole.count("Promise ") == LISTED + 3
    assert "Show all" not in whole


def test_an_empty_list_names_the_next_step_to_those_who_can_take_it(client, cast):
    assert "Add the first objective" in page(client, "/slos/", cast.mia)
    assert "Maintainer, Approver or Admin" in page(client, "/slos/", cast.vera)


def test_the_page_of_one_says_where_the_bad_requests_come_from(client, cast, traffic):
    slo = make(cast.support, owner=cast.mia)
    text = page(client, f"/slos/{slo.pk}/", cast.vera)
    assert "90 % of requests answered over 28 days" not in text
    assert "90 % of requests answered over 30 days" in text
    assert "50 % of the error budget is left" in text
    assert "drafts <span" in text
    assert "Answers: 5 % of the error budget in 6 h" in text
    assert "made" in text


def test_an_objective_without_traffic_reads_unknown_not_perfect(client, cast):
    slo = make(cast.support)
    text = page(client, f"/slos/{slo.pk}/", cast.vera)
    assert "No requests" in text
    assert "100 %" not in text


def test_a_stranger_finds_nothing_and_a_viewer_changes_nothing(client, cast):
    slo = make(cast.support)
    page(client, f"/slos/{slo.pk}/", cast.stan, 404)
    page(client, f"/slos/{slo.pk}/edit/", cast.stan, 404)
    page(client, f"/slos/{slo.pk}/edit/", cast.vera, 403)
    page(client, "/slos/add/", cast.vera, 403)
    assert client.post(f"/slos/{slo.pk}/archive/").status_code == 403


def test_the_form_makes_an_objective(client, cast):
    client.force_login(cast.mia)
    answer = client.post("/slos/add/", FORM | {"team": cast.support.pk, "feature": "chat", "owner": cast.mia.pk})
    slo = Slo.objects.get(team=cast.support)
    assert answer["Location"] == f"/slos/{slo.pk}/"
    assert (slo.target, slo.window_days, slo.feature, slo.owner) == (Decimal("0.995"), 28, "chat", cast.mia)
    assert slo.exclusions == {"environment": ["dev", "drill"], "error_type": ["content_policy"]}
    assert slo.rules.count() == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"indicator": "latency"}, "Say what is fast enough, in ms."),
        ({"indicator": "spend", "limit": "1"}, "Say whether the limit is for an hour"),
        ({"target": "100"}, "less than or equal to 99.9999"),
        ({"exclusions": "environment drill"}, "should read: dimension = value"),
        ({"exclusions": "colour = red"}, "cannot be left out"),
    ],
    ids=["no-limit", "no-per", "target", "line", "dimension"],
)
def test_the_form_says_what_to_fix(client, cast, change, says):
    client.force_login(cast.mia)
    answer = client.post("/slos/add/", FORM | {"team": cast.support.pk} | change)
    assert answer.status_code == 200
    assert says in answer.content.decode()
    assert not Slo.objects.filter(team=cast.support).exists()


def test_nobody_makes_one_for_a_team_that_is_not_theirs(client, cast):
    client.force_login(cast.mia)
    client.post("/slos/add/", FORM | {"team": cast.search.pk})
    client.post("/slos/add/", FORM)
    assert not Slo.objects.filter(shipped_as="").exists()


def test_two_who_edit_at_once_lose_nothing(client, cast):
    slo = make(cast.support)
    client.force_login(cast.mia)
    first = FORM | {"team": cast.support.pk, "version": "1"}
    assert client.post(f"/slos/{slo.pk}/edit/", first).status_code == 302
    answer = client.post(f"/slos/{slo.pk}/edit/", first | {"target": "90"})
    assert "while you edited" in answer.content.decode()
    slo.refresh_from_db()
    assert slo.target == Decimal("0.995")
    assert "target: 0.9 → 0.995" in page(client, f"/slos/{slo.pk}/", cast.vera)


def test_the_edit_form_begins_with_what_is_there(client, cast):
    slo = make(cast.support, indicator="latency", limit=Decimal("1500.5"), exclusions={"environment": ["dev"]})
    text = page(client, f"/slos/{slo.pk}/edit/", cast.mia)
    assert 'value="1500.5"' in text
    assert 'value="90"' in text
    assert "environment = dev" in text


def test_it_can_be_tried_before_it_is_saved(client, cast, traffic):
    client.force_login(cast.mia)
    tried = client.post("/slos/preview/", FORM | {"team": cast.support.pk}).content.decode()
    assert "Over the last 30 days this would have been <strong>95.00 %</strong> attained" in tried
    assert "missed" in tried
    assert "paged <strong>1</strong> time" in tried
    wrong = client.post("/slos/preview/", FORM | {"team": cast.support.pk, "indicator": "latency"}).content.decode()
    assert "Say what is fast enough" in wrong


def test_an_archived_one_is_kept_apart_and_can_be_taken_up_again(client, cast):
    slo = make(cast.support)
    client.force_login(cast.mia)
    client.post(f"/slos/{slo.pk}/archive/")
    assert f"/slos/{slo.pk}/" not in page(client, "/slos/", cast.mia)
    assert "Answers" in page(client, "/slos/?show=archived", cast.mia)
    client.post(f"/slos/{slo.pk}/archive/", {"restore": "1"})
    assert "Answers" in page(client, "/slos/", cast.mia)


def test_the_api_lists_the_objectives_of_the_keys_team(client, cast, support_key, traffic):
    make(cast.support)
    make(cast.search)
    (one,) = client.get("/api/v1/slos", headers=bearer(support_key)).json()
    assert (one["good"], one["bad"], one["attained"], one["budget_left"]) == (95, 5, "0.950000", "0.500000")
    assert (one["scope"], one["status"]) == ("Support AI", "On target")


def test_the_executive_view_shows_what_is_promised(client, cast, traffic):
    make(cast.support, name="Strict", target=Decimal("0.99"))
    text = page(client, "/executive/", cast.vera)
    assert "Strict misses its objective." in text
    assert "missed" in text


def test_the_incident_view_shows_how_fast_the_budgets_burn(client, cast, traffic):
    make(cast.support, name="Strict", target=Decimal("0.99"))
    text = page(client, "/incident/objectives/", cast.vera)
    assert "Error budgets: Strict burns at 5×" in text


def test_the_incident_view_shows_those_that_burn_fastest_of_many(client, cast):
    for number in range(9):
        record(cast.support, timezone.now() - timedelta(minutes=10), 20, feature=f"f{number}")
        failures = {"feature": f"f{number}", "status": "error", "error_type": "timeout"}
        record(cast.support, timezone.now() - timedelta(minutes=9), 1 + number // 2, **failures)
        make(cast.support, name=f"Objective {number}", feature=f"f{number}", target=Decimal("0.99"))
    drain()
    text = page(client, "/incident/objectives/", cast.vera)
    assert [text.count(f"Objective {number}<") for number in range(9)] == [0, 0, 1, 0, 1, 1, 1, 1, 1]  # 2 and 3 alike
    assert "Objective 8 burns at" in text
    assert "3 more" in text


def test_the_incident_view_without_objectives_says_where_to_make_one(client, cast, traffic):
    assert "No objective yet" in page(client, "/incident/objectives/", cast.vera)
