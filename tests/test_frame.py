"""The frame of every page: policy, navigation, figures in words, and the gallery in a real browser."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone
from playwright.sync_api import expect

from aiops_site import formats
from aiops_site.context import current_url
from aiops_site.middleware import POLICY_TEXT, zone_of

ROOT = Path(__file__).parent.parent


@pytest.fixture
def gallery(settings):
    """Addresses and templates of tests/frame_urls.py instead of the desk's."""
    settings.ROOT_URLCONF = "tests.frame_urls"
    own = settings.TEMPLATES[0]
    settings.TEMPLATES = [own | {"DIRS": [*own["DIRS"], ROOT / "tests" / "templates"]}]


def rendered(source: str, **context) -> str:
    request = RequestFactory().get("/spend/", {"sort": "-cost", "after": "9"})
    return Template("{% load figures %}" + source).render(Context({"request": request} | context))


# --- Figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (Decimal("0.0021"), "$0.0021"),
        (Decimal("0"), "$0.00"),
        (Decimal("0.000000123"), "$0.00000012"),
        (Decimal("847.2300417"), "$847.23"),
        (1204, "$1,204"),
        (Decimal("-12.5"), "−$12.50"),
        (1_240_000, "$1.24M"),
        (float("nan"), "unknown"),
    ],
)
def test_money_has_sensible_digits(value, text):
    assert formats.money(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "unknown"), (0, "0"), (847, "847"), (12345, "12.3k"), (999_950, "1M"), (1_240_000, "1.24M"), (0.5, "0.5")],
)
def test_counts_are_compact(value, text):
    assert formats.compact(value) == text


def test_one_thing_is_not_called_many():
    assert formats.counted(1, "model calls") == "1 model call"
    assert [formats.counted(number, "requests") for number in (0, 1234)] == ["0 requests", "1,234 requests"]
    assert formats.counted(1234, "requests", formats.compact) == "1.23k requests"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (0, "0 ms"),
        (3.27, "3.3 ms"),
        (840, "840 ms"),
        (2400, "2.4 s"),
        (12_340, "12.3 s"),
        (200_000, "3 min 20 s"),
    ],
)
def test_durations_change_their_unit(value, text):
    assert formats.duration(value) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (None, "unknown"),
        (0, "0.0 %"),
        (0.0123, "1.2 %"),
        (0.0004, "0.04 %"),
        (0.9995, "99.95 %"),
        (1, "100 %"),
        (0.49, "49 %"),
    ],
)
def test_percentages_keep_the_digits_that_matter(ratio, text):
    assert formats.percent(ratio) == text


def test_the_exact_figure_stands_in_the_title():
    assert rendered("{{ v|count }}", v=12345) == '<span data-exact title="12,345">12.3k</span>'
    assert 'title="$847.2300417"' in rendered("{{ v|money }}", v=Decimal("847.2300417"))


def test_a_figure_cannot_bring_markup():
    assert "<b>" not in rendered("{{ v|figure:unit }}", v=1, unit="<b>")


def test_times_are_relative_with_the_viewers_clock_on_hover():
    moment = datetime.now(UTC) - timedelta(minutes=5, seconds=2)
    with timezone.override(zone_of(type("Viewer", (), {"time_zone": "Europe/Berlin"}))):
        text = rendered("{{ v|when }}", v=moment)
    assert ">5 min ago</time>" in text
    assert "CE" in text  # CET or CEST


@pytest.mark.parametrize(
    ("value", "previous", "better", "text", "tone"),
    [
        (112, 100, "down", "+12 %", "bad"),
        (112, 100, "up", "+12 %", "ok"),
        (112, 100, "", "+12 %", "flat"),
        (96.6, 100, "down", "−3.4 %", "ok"),
        (900, 100, "down", "×9", "bad"),
        (100, 100, "up", "no change", "flat"),
        (5, 0, "up", "no comparison", "none"),
        (None, 5, "up", "no comparison", "none"),
    ],
)
def test_a_delta_says_whether_it_is_better(value, previous, better, text, tone):
    html = rendered("{% delta v p better=b %}", v=value, p=previous, b=better)
    assert text in html
    assert f"delta-{tone}" in html
    assert ("(worse)" in html, "(better)" in html) == (tone == "bad", tone == "ok")


def test_a_sort_link_turns_round_and_starts_paging_anew():
    html = rendered('{% sort_th "Cost" "cost" %}{% sort_th "Name" "name" number=False %}')
    assert 'aria-sort="descending"><a href="?sort=cost">' in html
    assert 'aria-sort="none"><a href="?sort=name">' in html


# --- Policy, navigation, theme --------------------------------------------------------------------------------------


def test_the_policy_allows_no_inline_code():
    policy = POLICY_TEXT
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_no_template_has_inline_style_or_script():
    # Mail is no page of ours: its readers know no style sheets.
    pages = [page for page in (ROOT / "templates").rglob("*.html") if page.name != "mail.html"]
    for page in pages:
        text = page.read_text()
        assert " style=" not in text, page
        assert "<style" not in text, page
        assert " onclick=" not in text, page
        assert all("src=" in tag or "json" in tag for tag in script_tags(text)), page


def script_tags(text: str) -> list[str]:
    return [part.split(">")[0] for part in text.split("<script")[1:]]


def test_every_icon_that_is_named_is_drawn():
    drawn = (ROOT / "templates/components/icons.html").read_text()
    from_templates = "".join(p.read_text() for p in (ROOT / "templates").rglob("*.html"))
    named = {part.split('"')[0] for part in from_templates.split('icon.html" with name="')[1:]}
    assert named
    assert not [name for name in named if f'id="i-{name}"' not in drawn]


@pytest.mark.urls("tests.frame_urls")
def test_the_longest_address_is_the_current_page():
    assert current_url("/prices/unpriced/") == "/prices/unpriced/"
    assert current_url("/prices/12/") == "/prices/"
    assert current_url("/traces/support/4bf9") == current_url("/conversations/support/c1") == "/events/"
    assert current_url("/") == "/"
    assert current_url("/nowhere/") == ""


def test_the_page_has_one_heading_and_no_flash_of_the_other_theme(gallery, client, cast):
    client.force_login(cast.ada)
    client.cookies["theme"] = "dark"
    text = client.get("/").content.decode()
    assert text.count("<h1") == 1
    assert '<html lang="en" data-theme="dark">' in text
    client.cookies["theme"] = "<script>"
    assert 'data-theme="system"' in client.get("/").content.decode()


def test_vendored_files_say_their_version_and_licence():
    for folder in (ROOT / "static/vendor").iterdir():
        assert {"VERSION", "LICENSE"} <= {f.name for f in folder.iterdir()}
    assert "4.0.1" in (ROOT / "static/vendor/htmx/VERSION").read_text()


# --- In a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture
def open_gallery(gallery, cast, live_server, page, sign_in):
    """`open_gallery(query)` shows the gallery to Ada, with every chart drawn."""

    def go(query: str = "", width: int = 1440):
        page.set_viewport_size({"width": width, "height": 900})
        sign_in(cast.ada)
        page.goto(f"{live_server.url}/{query}")
        page.locator("#chart-tokens").scroll_into_view_if_needed()
        expect(page.locator(".js-plotly-plot")).to_have_count(5)
        page.evaluate("scrollTo(0, 0)")
        return page

    return go


@pytest.mark.django_db(transaction=True)
def test_charts_are_drawn_under_the_strict_policy_in_both_themes(open_gallery):
    page = open_gallery("?model=gpt-4o")
    bar = page.locator("#chart-spend .bars path").first
    light = bar.evaluate("e => getComputedStyle(e).fill")
    page.locator("summary", has_text="account menu").click()
    page.get_by_role("radio", name="Dark").click()
    expect(bar).not_to_have_css("fill", light)
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("width", [390, 820, 1440])
def test_nothing_hangs_over_the_edge(open_gallery, width):
    assert open_gallery("?model=gpt-4o&tenant=acme", width).evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.django_db(transaction=True)
def test_a_live_section_keeps_scroll_focus_and_open_tables(open_gallery):
    page = open_gallery()
    table = page.locator("#chart-latency .chart-data")
    table.locator("summary").click()
    plot = page.locator("#chart-latency [data-plot]").element_handle()
    before = page.locator("#stamp").inner_text()
    top = page.evaluate("scrollY")
    expect(page.locator("#stamp")).not_to_have_text(before)
    assert page.evaluate("scrollY") == top
    assert table.evaluate("e => e.open && e.contains(document.activeElement)")
    assert plot.evaluate("e => e.isConnected && e.classList.contains('js-plotly-plot')")
    assert page.locator("[data-fresh-text]").inner_text().startswith("Updated")


@pytest.mark.django_db(transaction=True)
def test_a_live_section_waits_while_its_reader_types_and_when_paused(open_gallery):
    page = open_gallery()
    page.locator("#note").fill("half a thou")
    before = page.locator("#stamp").inner_text()
    page.wait_for_timeout(3500)
    assert page.locator("#stamp").inner_text() == before
    page.locator("[data-live-toggle]").click()
    assert page.locator("[data-live-word]").inner_text() == "Paused"
    page.wait_for_timeout(2500)
    assert page.locator("#stamp").inner_text() == before
    assert page.locator("#note").input_value() == "half a thou"


@pytest.mark.django_db(transaction=True)
def test_a_click_on_a_point_leads_to_the_events_of_its_bucket(open_gallery):
    page = open_gallery()
    chart = page.locator("#chart-spend [data-plot]")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.6)
    page.wait_for_timeout(300)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.6)
    page.wait_for_url("**/events/?from=*&to=*")


@pytest.mark.django_db(transaction=True)
def test_keys_and_menus_work_without_a_mouse(open_gallery):
    page = open_gallery()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator(".bottom summary").focus()
    page.keyboard.press("Enter")
    assert page.locator(".bottom .menu-list").get_by_text("Settings").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator(".bottom .menu-list").is_visible()
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


@pytest.mark.django_db(transaction=True)
def test_a_chart_is_saved_as_png_and_csv(open_gallery):
    page = open_gallery()
    for button, name in (("PNG", "spend.png"), ("CSV", "spend.csv")):
        with page.expect_download() as download:
            page.locator("#chart-spend").get_by_role("button", name=button).click()
        assert download.value.suggested_filename == name
        assert download.value.path().stat().st_size > 500


@pytest.mark.django_db(transaction=True)
def test_filters_apply_at_once_and_leave_no_empty_parameters(open_gallery):
    page = open_gallery("?range=7d&model=gpt-4o")
    page.locator("#filter-compare").select_option("week")
    page.wait_for_url("**compare=week*")
    assert "range=7d" in page.url
    assert "model=gpt-4o" in page.url
    assert "team=" not in page.url
    page.get_by_role("link", name="Remove filter model gpt-4o").click()
    page.wait_for_url(lambda url: "model" not in url)


@pytest.mark.django_db(transaction=True)
def test_the_try_it_page_runs_under_the_same_policy(live_server, page):
    response = page.goto(f"{live_server.url}/docs/api/")
    page.locator(".swagger-ui .scheme-container").wait_for(state="attached")
    assert page.locator("h1").count() == 1
    assert response.header_value("content-security-policy") == POLICY_TEXT


@pytest.mark.django_db(transaction=True)
def test_figures_are_readable_without_a_script(gallery, browser, cast, client, live_server):
    client.force_login(cast.ada)
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    window = context.new_page()
    window.goto(live_server.url)
    assert window.locator("#chart-latency .chart-data table").is_visible()
    context.close()
