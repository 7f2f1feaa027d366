"""The incident view in a browser: its parts arrive, and a refresh leaves the reader where they were."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from tests.test_incident_page import MINUTE, OUTAGE, now, store, traffic, week_before
from tests.traffic import event
from usage.actions import record_events
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(cast, live_server, page, sign_in):
    """`desk(query, width)` shows the page to Olu, with an outage going on and every part there."""
    start = now() - 90 * MINUTE
    store(
        cast.support,
        week_before(cast.support, start, 90),
        traffic(cast.support, start, 60),
        traffic(cast.support, start + timedelta(hours=1), 30, **OUTAGE),
    )
    sign_in(cast.olu)

    def go(query: str = "", width: int = 1440):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{live_server.url}/{query}")
        for part in ("impact", "cause", "trends", "breakdown"):
            expect(page.locator(f"#{part}")).to_be_attached()
        return page

    return go


def test_a_refresh_keeps_scroll_focus_and_an_open_table(desk, cast):
    page = desk()
    table = page.locator("#chart-failing .chart-data")
    table.locator("summary").click()
    top = page.evaluate("scrollY")
    assert top > 0
    seen = page.locator("#chart-load .key-last").first.inner_text()
    record_events(team=cast.support, environment="", api_key_id=None, events=[event(now()) for _ in range(50)])
    drain()
    with page.expect_response(lambda answer: "/incident/trends/" in answer.url):
        page.evaluate("document.querySelector('#trends').dispatchEvent(new CustomEvent('refresh'))")
    with page.expect_response(lambda answer: answer.url.endswith("/")):
        page.evaluate("document.querySelector('#now').dispatchEvent(new CustomEvent('refresh'))")
    expect(page.locator("#chart-load .key-last").first).not_to_have_text(seen)
    assert page.evaluate("scrollY") == top
    assert table.evaluate("e => e.open && e.contains(document.activeElement)")
    assert page.locator("#now").count() == page.locator("#trends").count() == 1


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_nothing_hangs_over_the_edge(desk, width):
    assert desk(width=width).evaluate("document.documentElement.scrollWidth") == width


def test_a_phone_reads_the_answer_then_what_changed_then_who_is_hit(desk):
    page = desk(width=390)
    tops = [page.locator(f"{name}").bounding_box()["y"] for name in (".verdict", ".changed", ".who", "#cause")]
    assert tops == sorted(tops) and tops[0] < 420


def test_a_tab_of_the_breakdown_changes_the_table_in_place(desk):
    page = desk()
    page.locator("#breakdown").scroll_into_view_if_needed()
    top = page.evaluate("scrollY")
    page.locator("#breakdown .tabs a", has_text="Provider").click()
    expect(page.locator("#breakdown tbody")).to_contain_text("anthropic")
    assert page.evaluate("scrollY") == top
    assert page.locator("#breakdown [aria-current]").inner_text() == "Provider"
