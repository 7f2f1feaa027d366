"""The demo has synthetic checks whose history tells its stories, once, and they go with it."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.demo import create_demo_people, remove_demo_people
from accounts.models import User
from incidents.actions.canaries import KEPT
from incidents.demo_canaries import CHECKS, EVERY, create_demo_canaries
from incidents.models import Canary, CanaryRun
from usage.demo.stories import RETRIEVAL

pytestmark = pytest.mark.django_db
SEARCH = "Search answers with its source"


@pytest.fixture
def end():
    create_demo_people()
    return timezone.now().replace(microsecond=0)


def test_a_check_failed_while_its_story_lasted_and_at_no_other_time(end):
    create_demo_canaries(end, "8000")
    runs = CanaryRun.objects.filter(canary__name=SEARCH)
    start, over = RETRIEVAL.span(end)
    assert runs.count() == KEPT // EVERY
    failed = runs.filter(ok=False)
    assert failed.filter(at__gte=start, at__lt=over).count() == failed.count() == (over - start) // EVERY
    assert failed.first().failures == ["The text lacks “30 days”", "0 citations, fewer than 1"]


def test_made_up_hosts_are_never_asked_and_the_desk_itself_only_where_that_is_allowed(end, settings):
    settings.OUTBOUND_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    create_demo_canaries(end, "8123")
    (active,) = Canary.objects.filter(is_active=True)
    assert (active.url, active.due_at <= timezone.now()) == ("http://127.0.0.1:8123/healthz", True)


def test_their_pages_show_the_last_day_and_the_failures_of_the_story(client, end):
    create_demo_canaries(end, "8000")
    client.force_login(User.objects.get(email="oncall@demo.example"))
    canary = Canary.objects.get(name=SEARCH)
    text = client.get(reverse("canary-detail", args=[canary.pk])).content.decode()
    assert "100 %" in text and "of 96" in text and "returns.md" in text
    assert "0 citations, fewer than 1" in text
    assert "This desk answers" in client.get(reverse("canary-list")).content.decode()


def test_they_are_made_once_and_go_with_the_demo(end):
    made = len(CHECKS) + 1  # none of which runs: loopback is refused where nobody has allowed it
    assert (create_demo_canaries(end, "8000"), create_demo_canaries(end + timedelta(hours=1), "8000")) == (made, 0)
    assert not Canary.objects.filter(is_active=True).exists()
    remove_demo_people()
    assert not Canary.objects.exists()
