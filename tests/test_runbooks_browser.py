"""Runbooks in a browser: steps ticked by keyboard without losing the place, a preview that follows the typing."""

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.actions import Author
from incidents.actions.incidents import declare_incident
from incidents.actions.runbook_runs import start_run
from incidents.actions.shipped import install_runbooks
from incidents.models import Runbook, StepTick

pytestmark = pytest.mark.django_db(transaction=True)


def test_steps_are_ticked_by_keyboard_and_the_next_section_opens(page, live_server, sign_in, cast):
    install_runbooks()
    author, now = Author(user=cast.ada), timezone.now()
    incident = declare_incident(author=author, team=cast.support, title="Slow", severity=3, at=now)
    start_run(author=author, book=Runbook.objects.get(slug="latency"), incident=incident, at=now)
    sign_in(cast.ada)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(live_server.url + reverse("incident-runbook", args=[incident.pk]))
    steps = page.locator("#run-detection-now .step").count()
    for number in range(1, steps + 1):
        page.focus(f"#tick-detection{number}")
        page.keyboard.press("Space")
        page.wait_for_selector(f"#tick-detection{number}[aria-checked=true]", state="attached")
        if number == 1:
            assert page.evaluate("document.activeElement.id") == "tick-detection1"
    page.wait_for_selector("#run-containment-now #tick-containment1")
    assert StepTick.objects.filter(done_by=cast.ada).count() == steps
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_preview_follows_what_is_typed(page, live_server, sign_in, cast):
    sign_in(cast.ada)
    page.goto(live_server.url + reverse("runbook-add"))
    page.fill("textarea[name=detection]", "- [ ] Look **closely** <script>alert(1)</script>")
    page.wait_for_selector("#preview strong:has-text('closely')")
    assert page.locator("#preview script").count() == 0
