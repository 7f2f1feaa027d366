"""Tests that keep the whole honest: import arrows, migrations, every page, every guide."""

import ast
from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import get_resolver, reverse
from django.utils import timezone

from aiops_site.celery import app
from tests.traffic import record
from usage.rollups import drain

ROOT = Path(settings.BASE_DIR)
# A room may import those before it, never those after.
ROOMS = ("accounts", "usage", "incidents", "quality", "budgets", "aiops_site")
# Modules of aiops_site that import no app, so that any room may use them.
LEAVES = ("aiops_site.charts", "aiops_site.formats", "aiops_site.safe_http", "aiops_site.celery")


def imports_of(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def is_leaf(module: str) -> bool:
    return any(module == leaf or module.startswith(f"{leaf}.") for leaf in LEAVES)


@pytest.mark.parametrize("room", [room for room in ROOMS if (ROOT / room).is_dir()])
def test_imports_between_rooms_point_one_way(room):
    later = ROOMS[ROOMS.index(room) + 1 :]
    wrong = [
        f"{file.relative_to(ROOT)} imports {module}"
        for file in (ROOT / room).rglob("*.py")
        for module in imports_of(file)
        if module.split(".")[0] in later and not is_leaf(module) and module != "aiops_site"
    ]
    assert wrong == []


def test_leaf_modules_import_no_room():
    files = [ROOT / f"{leaf.replace('.', '/')}.py" for leaf in LEAVES]
    files += [file for leaf in LEAVES for file in (ROOT / leaf.replace(".", "/")).rglob("*.py")]
    wrong = [
        f"{file.relative_to(ROOT)} imports {module}"
        for file in files
        if file.exists()
        for module in imports_of(file)
        if module.split(".")[0] in ROOMS and not is_leaf(module) and module != "aiops_site"
    ]
    assert wrong == []


def test_no_file_is_longer_than_fits_in_a_head():
    long = [
        f"{file.relative_to(ROOT)}: {lines}"
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        if "migrations" not in file.parts and (lines := len(file.read_text().splitlines())) > 450
    ]
    assert long == []


@pytest.mark.django_db
def test_no_migration_is_missing():
    out = StringIO()
    call_command("makemigrations", "--check", "--dry-run", stdout=out)
    assert "No changes" in out.getvalue()


def test_the_workers_know_every_task_that_beat_sends():
    app.loader.import_default_modules()
    app.autodiscover_tasks(force=True)
    sent = {str(entry["task"]) for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert sent - set(app.tasks) == set()


@pytest.mark.parametrize("room", [room for room in ROOMS if (ROOT / room / "tasks").is_dir()])
def test_each_file_of_tasks_is_imported_by_its_package(room):
    files = {file.stem for file in (ROOT / room / "tasks").glob("*.py")} - {"__init__"}
    assert files == set(import_module(f"{room}.tasks").__all__)


def plain_pages() -> list[str]:
    """Names of the pages of our own that need no argument."""
    found = []

    def collect(patterns) -> None:
        for entry in patterns:
            if hasattr(entry, "url_patterns"):
                collect(entry.url_patterns)
            elif entry.name and not entry.pattern.converters and ours(entry):
                found.append(entry.name)

    collect(get_resolver().url_patterns)
    return sorted(set(found))


def ours(entry) -> bool:
    module = entry.callback.__module__
    return module.split(".")[0] in ROOMS and ".api" not in module and "health" not in module


def test_no_two_addresses_share_a_name():
    named: dict[str, list[str]] = {}

    def collect(patterns, prefix: str) -> None:
        for entry in patterns:
            if hasattr(entry, "url_patterns"):
                collect(entry.url_patterns, prefix + str(entry.pattern))
            elif entry.name and entry.callback.__module__.split(".")[0] in ROOMS:
                named.setdefault(entry.name, []).append(prefix + str(entry.pattern))

    collect(get_resolver().url_patterns, "")
    assert {name: found for name, found in named.items() if len(found) > 1} == {}


# Reached by POST only, or answering with a file or a redirect.
NOT_A_PAGE = {"reconcile-start"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
def test_every_page_answers_with_one_heading(client, cast, filled):
    if filled:
        record(cast.support, timezone.now(), 20, tenant="acme", trace_id="t1", span_id="s1", conversation_id="c1")
        drain()
    client.force_login(cast.ada)
    wrong = []
    for name in plain_pages():
        if name in NOT_A_PAGE:
            continue
        response = client.get(reverse(name))
        html = "text/html" in response.headers.get("Content-Type", "")
        if response.status_code in (301, 302, 405) or (response.status_code == 200 and not html):
            continue
        body = response.content.decode()
        partial = "<html" not in body
        if response.status_code != 200 or (not partial and body.count("<h1") != 1):
            wrong.append(f"{name}: {response.status_code}, {body.count('<h1')} h1")
    assert wrong == []


@pytest.mark.django_db
def test_every_page_but_the_open_ones_asks_for_a_login(client):
    open_pages = {"docs", "api-docs", "schema", "healthz", "readyz", "status-page", "status-json", "status-rss"}
    answered = [
        name
        for name in plain_pages()
        if name not in open_pages | NOT_A_PAGE
        and client.get(reverse(name)).status_code == 200
        and "account" not in name
    ]
    assert answered == []


@pytest.mark.django_db
def test_the_schema_describes_every_api_address(client):
    body = client.get(reverse("schema")).content.decode()
    for path in (
        "/api/v1/events",
        "/api/v1/changes",
        "/api/v1/prices",
        "/api/v1/metrics",
        "/api/v1/spend",
        "/api/v1/explain",
        "/api/v1/focus",
        "/api/v1/reports",
        "/api/v1/incidents",
        "/api/v1/alertmanager",
    ):
        assert path in body
