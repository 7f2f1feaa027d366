"""A real browser: Debian's Chromium, driven by Playwright. A test that leaves an error in its console fails."""

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# --no-sandbox: Chromium does not start as root with it. The rest keeps it from calling home.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium for the tests of this process; its tests are skipped where there is none."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    # Playwright keeps an event loop in this thread, which Django takes for asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        chromium.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page_errors() -> list[str]:
    """What the page complained of: console errors, exceptions, refusals by the Content-Security-Policy.

    A test that expects one (a 404, say) looks at it and clears the list.
    """
    return []


@pytest.fixture
def page(browser, page_errors):
    """A new window of 1440 × 900; the test fails when anything is left in `page_errors`."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    window = context.new_page()
    window.set_default_timeout(10_000)
    window.on("console", lambda said: said.type == "error" and page_errors.append(f"{said.text} ({said.location})"))
    window.on("pageerror", lambda error: page_errors.append(f"exception: {error}"))
    yield window
    context.close()
    assert not page_errors, "the browser console is not clean"


@pytest.fixture
def sign_in(page, client, live_server):
    """`sign_in(user)` gives the window the session of `user` on `live_server`, without the sign-in page."""

    def with_session(user) -> None:
        client.force_login(user)
        cookie = client.cookies["sessionid"]
        page.context.add_cookies([{"name": "sessionid", "value": cookie.value, "url": live_server.url}])

    return with_session
