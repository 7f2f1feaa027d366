"""The pages of rotas and escalation, and the calendar feed, over HTTP."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import icalendar
import pytest
from django.utils import timezone

from accounts.models import AuditEntry, User
from incidents.actions.escalating import evaluate
from incidents.demo_oncall import create_demo_oncall
from incidents.models import EscalationPolicy, Rota, RotaOverride
from incidents.queries.oncall import on_call
from incidents.queries.rota_calendar import feed
from tests.cast import make_user
from tests.test_escalation import climb, fire
from tests.test_notifying import make_rota

ROTA = {"name": "Primary", "level": 1, "days": 7, "starts_on": "2026-03-02", "handover_at": "09:00"}
ROTA |= {"zone": "Europe/Berlin", "members": "olu@desk.example\nmia@desk.example"}


def test_a_rota_is_made_and_says_who_is_on_call_on_every_page(client, cast):
    client.force_login(cast.mia)
    client.post("/oncall/rotas/add/", ROTA | {"team": cast.support.pk, "members": "olu@desk.example"})
    rota = Rota.objects.get()
    assert (rota.zone, rota.members.get().user) == ("Europe/Berlin", cast.olu)
    assert AuditEntry.objects.filter(action="rota.added", actor=cast.mia).exists()
    page = client.get("/spend/").content.decode()
    assert 'On call: </span><span class="wide">Olu</span>' in page


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"members": "stan@desk.example"}, "is nobody with a role in the team"),
        ({"members": ""}, "This field is required"),
        ({"zone": "Berlin"}, "is not a time zone"),
        ({"level": 0}, "greater than or equal to 1"),
        ({"starts_on": "2026-02-30"}, "Enter a valid date"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_kept(client, cast, wrong, words):
    client.force_login(cast.mia)
    answer = client.post("/oncall/rotas/add/", ROTA | {"team": cast.support.pk} | wrong)
    assert words in answer.content.decode()
    assert not Rota.objects.exists()


def test_two_rotas_of_a_team_need_two_names(client, cast):
    make_rota(cast.support, cast.olu, name="Primary")
    client.force_login(cast.mia)
    answer = client.post("/oncall/rotas/add/", ROTA | {"team": cast.support.pk})
    assert "has a rota of this name" in answer.content.decode()


def test_gaps_and_people_without_a_channel_are_problems(client, cast):
    client.force_login(cast.mia)
    make_rota(cast.support, cast.olu, starts_on=(timezone.now() + timedelta(days=3)).date())
    page = client.get("/oncall/").content.decode()
    assert "nobody from" in page
    assert "No channel of their own: Olu." in page
    assert "Pages of Support AI do not climb" in page


def test_who_may_what(client, cast):
    rota = make_rota(cast.support, cast.olu)
    client.force_login(cast.vera)
    assert client.get(f"/oncall/rotas/{rota.pk}/").status_code == 200
    assert client.get(f"/oncall/rotas/{rota.pk}/edit/").status_code == 403
    assert client.get("/oncall/rotas/add/").status_code == 403
    assert client.post(f"/oncall/rotas/{rota.pk}/calendar/").status_code == 403
    assert client.get("/oncall/escalation/support/").status_code == 403
    client.force_login(cast.stan)
    assert client.get(f"/oncall/rotas/{rota.pk}/").status_code == 404
    assert client.get("/oncall/escalation/support/").status_code == 404
    assert client.get("/oncall/escalation/all/").status_code == 403


def test_an_override_covers_and_goes_again(client, cast):
    rota = make_rota(cast.support, cast.olu)
    now = timezone.now()
    moments = {"starts_at": now - timedelta(hours=1), "ends_at": now + timedelta(days=1)}
    span = {name: f"{moment:%Y-%m-%dT%H:%M}" for name, moment in moments.items()}
    client.force_login(cast.mia)
    add = f"/oncall/rotas/{rota.pk}/overrides/add/"
    client.post(add, span | {"user": cast.tara.pk, "reason": "swap"})
    assert "<strong>Tara</strong> is on call" in client.get(f"/oncall/rotas/{rota.pk}/").content.decode()
    answer = client.post(add, span | {"user": cast.tara.pk, "ends_at": span["starts_at"]})
    assert (answer.status_code, "must end after it begins" in answer.content.decode()) == (422, True)
    client.post(f"/oncall/overrides/{RotaOverride.objects.get().pk}/remove/")
    assert "<strong>Olu</strong> is on call" in client.get(f"/oncall/rotas/{rota.pk}/").content.decode()


def test_the_hand_over_note_is_kept_as_text(client, cast):
    rota = make_rota(cast.support, cast.olu)
    client.force_login(cast.olu)
    client.post(f"/oncall/rotas/{rota.pk}/note/", {"note": "</textarea><script>alert(1)</script>"})
    page = client.get(f"/oncall/rotas/{rota.pk}/").content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;" in page


def test_the_feed_needs_its_secret_and_a_new_one_ends_the_old(client, cast):
    rota = make_rota(cast.support, cast.olu, cast.mia)
    client.force_login(cast.mia)
    urls = []
    for _ in range(2):
        page = client.post(f"/oncall/rotas/{rota.pk}/calendar/").content.decode()
        urls.append("/oncall/calendar/" + page.split("/oncall/calendar/")[1].split(".ics")[0] + ".ics")
    client.logout()
    assert client.get(urls[0]).status_code == 404
    assert client.get("/oncall/calendar/guess.ics").status_code == 404
    answer = client.get(urls[1])
    assert answer.headers["Content-Type"].startswith("text/calendar")
    events = icalendar.Calendar.from_ical(answer.content).walk("VEVENT")
    assert {str(event["summary"]) for event in events} <= {"primary: Olu", "primary: Mia"}


@pytest.mark.django_db
def test_a_shift_keeps_its_uid_from_day_to_day_and_hand_over_is_at_nine_in_summer_and_winter(cast):
    rota = make_rota(cast.support, cast.olu, cast.mia, zone="Europe/Berlin")
    before, after = (icalendar.Calendar.from_ical(feed(rota, datetime(2026, 9, day, 12, tzinfo=UTC))) for day in (1, 3))
    uids = [{str(event["uid"]) for event in one.walk("VEVENT")} for one in (before, after)]
    assert len(uids[0] & uids[1]) >= 25
    starts = {event["dtstart"].dt.astimezone(rota_zone(rota)).hour for event in before.walk("VEVENT")[1:]}
    assert starts == {9}


def rota_zone(rota):
    return ZoneInfo(rota.zone)


def test_escalation_is_edited_by_team_and_for_all(client, cast):
    rota = make_rota(cast.support, cast.olu)
    client.force_login(cast.ada)
    steps = {"target_1": f"rota:{rota.pk}", "minutes_1": 5, "target_2": f"user:{cast.tara.pk}", "minutes_2": 10}
    steps |= {f"minutes_{n}": 5 for n in (3, 4, 5)}
    assert client.post("/oncall/escalation/support/", steps | {"rounds": 2}).status_code == 302
    policy = EscalationPolicy.objects.get()
    assert [(one.rota, one.user, one.minutes) for one in policy.steps.all()] == [(rota, None, 5), (None, cast.tara, 10)]
    answer = client.post("/oncall/escalation/support/", {"rounds": 2, "target_1": "user:0"})
    assert "Select a valid choice" in answer.content.decode()
    client.post(f"/oncall/rotas/{rota.pk}/remove/")
    assert Rota.objects.exists()  # the policy pages it
    client.post(f"/oncall/escalation/{policy.pk}/remove/")
    client.post(f"/oncall/rotas/{rota.pk}/remove/")
    assert not Rota.objects.exists()


def test_the_demo_teams_have_somebody_on_call_once(cast):
    make_user("oncall", "operator", cast.support)
    User.objects.filter(email="oncall@desk.example").update(email="oncall@demo.example")
    type(cast.support).objects.update(is_demo=True)
    assert (create_demo_oncall(timezone.now()), create_demo_oncall(timezone.now())) == (2, 0)
    assert [str(user) for user in on_call(cast.support, timezone.now())] == ["Oncall"]


def test_a_page_is_taken_on_the_page(client, cast):
    climb(cast)
    alert = fire(cast)
    evaluate(timezone.now())
    client.force_login(cast.olu)
    page = client.get("/oncall/").content.decode()
    assert "Pages nobody has taken" in page
    assert "Olu is paged and has 5 min" in page
    client.post(f"/oncall/pages/{alert.group.escalations.get().pk}/acknowledge/")
    alert.refresh_from_db()
    assert alert.acknowledged_by == cast.olu
    assert "Olu acknowledged it." in client.get("/oncall/").content.decode()
    client.force_login(cast.vera)
    assert client.post(f"/oncall/pages/{alert.group.escalations.get().pk}/acknowledge/").status_code == 403
