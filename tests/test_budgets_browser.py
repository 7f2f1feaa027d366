"""A finance controller in a browser: try a budget, add it, have an increase approved; a control set on a phone."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import Role
from budgets.models import Budget
from incidents.models import Control
from tests.cast import make_user
from tests.traffic import record
from usage.rollups import drain

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_budget_is_tried_added_raised_and_approved(cast, live_server, page, sign_in):
    record(cast.support, timezone.now() - timedelta(hours=1, minutes=5), 9)
    drain()
    sign_in(cast.fatima)
    page.goto(f"{live_server.url}/budgets/add/")
    page.get_by_label("Name").fill("Support, hourly")
    page.get_by_label("Limit").fill("10")
    page.get_by_label("Unit").select_option("requests")
    page.get_by_label("Period").select_option("hour")
    page.get_by_label("Team").select_option("support")
    page.get_by_label("Conserve mode at").fill("80")
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("#preview")).to_contain_text("these calls used")
    page.get_by_role("button", name="Add budget").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Support, hourly")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Limit").fill("100")
    page.get_by_label("Reason").fill("The campaign")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Waits for a second person")).to_be_visible()
    sign_in(make_user("felix", Role.APPROVER))
    page.goto(f"{live_server.url}/budgets/approvals/")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("is approved")).to_be_visible()
    assert Budget.objects.get().limit == 100


def test_a_control_is_set_and_ended_on_a_phone(cast, live_server, page, sign_in):
    page.set_viewport_size({"width": 390, "height": 844})
    sign_in(cast.olu)
    page.goto(f"{live_server.url}/controls/set/?kind=kill_switch")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_label("Tool").fill("web_search")
    page.get_by_label("Team").select_option(label="Support AI")
    page.get_by_label("Reason").fill("Returned internal addresses")
    page.get_by_role("button", name="Put in force").click()
    expect(page.locator("main").get_by_text("Kill switch of web_search").first).to_be_visible()
    page.get_by_placeholder("Why").fill("Patched")
    page.get_by_role("button", name="End", exact=True).click()
    expect(page.get_by_text("has ended")).to_be_visible()
    assert Control.objects.get().ended_reason == "Patched"
