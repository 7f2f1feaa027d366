"""The guides are true: links resolve, commands exist, every guide renders, and the README's first event is taken."""

import json
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands
from django.urls import reverse

from aiops_site.docs import GUIDES, read_guide
from tests.cast import make_key, make_team
from usage.models import UsageEvent

ROOT = Path(settings.BASE_DIR)
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
# Paths of this repository in backticks; NAME in capitals stands for one to choose.
NAMED_FILE = re.compile(r"`((?:accounts|usage|aiops_site|tests|docs|templates|static|bench)/[a-z_\d./-]+\.\w+)[`:]")


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", DOCS, ids=named)
def test_every_relative_link_resolves(file):
    links = [link.split("#")[0] for link in LINK.findall(file.read_text())]
    relative = [link for link in links if link and "://" not in link and not link.startswith(("/", "mailto:"))]
    assert [link for link in relative if not (file.parent / link).exists()] == []


@pytest.mark.parametrize("file", DOCS, ids=named)
def test_every_named_file_exists(file):
    assert [path for path in NAMED_FILE.findall(file.read_text()) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("file", DOCS, ids=named)
def test_every_make_target_exists(file):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    # In backticks or at the start of an indented line, where it is a command and not prose.
    assert set(re.findall(r"(?:`|^ {4,})make ([a-z-]+)", file.read_text(), re.MULTILINE)) - targets == set()


@pytest.mark.parametrize("file", DOCS, ids=named)
def test_every_command_exists(file):
    assert set(re.findall(r"manage\.py ([a-z_]+)", file.read_text())) - set(get_commands()) == set()


@pytest.mark.django_db
@pytest.mark.parametrize("name", GUIDES)
def test_every_guide_renders_with_a_title_and_a_first_paragraph(client, name):
    guide = read_guide(name)
    assert guide.title and guide.lede and guide.html
    assert re.match(r"# \S.*\n\n?[^#|\s-]", (ROOT / "docs" / f"{name}.md").read_text())
    page = client.get(reverse("guide", args=[name])).content.decode()
    assert page.count("<h1") == 1 and guide.html in page


@pytest.mark.django_db
def test_the_list_of_guides_names_them_all(client):
    page = client.get(reverse("docs")).content.decode()
    assert all(reverse("guide", args=[name]) in page for name in GUIDES)


def test_the_readme_begins_with_the_two_commands():
    commands = re.findall(r"^    (make \w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands == ["make run", "make test"]


@pytest.mark.django_db(transaction=True)
def test_the_first_event_of_the_readme_is_taken(client):
    body = re.search(r"-d '(.*?)'", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    key = make_key(make_team("support"), "ingest")[1]
    answer = client.post(
        reverse("api-events"), body, content_type="application/json", headers={"Authorization": f"Bearer {key}"}
    )
    assert answer.status_code == 202 and answer.content.decode() in (ROOT / "README.md").read_text()
    assert UsageEvent.objects.get().event_id == json.loads(body)["event_id"]


def test_marks_of_programs_in_a_guide_are_not_shown(client):
    assert "&lt;!--" not in client.get("/docs/guides/benchmarks/").content.decode()
