"""The guides of docs/ as pages, and the try-it page. Open to everybody: whoever sends events may have no login."""

import re
from dataclasses import dataclass
from functools import cache
from html import unescape
from pathlib import Path

import nh3
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from markdown_it import MarkdownIt

FOLDER = Path(settings.BASE_DIR) / "docs"
# Guides for those who use or run the desk, in reading order. Others in the folder are for its developers.
GUIDES = (
    "api",
    "explain",
    "anomalies",
    "prices",
    "budgets",
    "guard",
    "client",
    "forecast",
    "reports",
    "alerts",
    "incidents",
    "notifications",
    "oncall",
    "triage",
    "runbooks",
    "postmortems",
    "drills",
    "slos",
    "review",
    "accounts",
    "replay",
    "operations",
    "settings",
    "benchmarks",
)

# Lines between which a program writes (bench/sections.py); shown as text they would only puzzle.
_COMMENT = re.compile(r"^<!--.*-->\n", re.MULTILINE)

schema = SpectacularAPIView.as_view(authentication_classes=[], permission_classes=[])
try_it = SpectacularSwaggerSplitView.as_view(authentication_classes=[], permission_classes=[], url_name="schema")


@dataclass(frozen=True)
class Guide:
    """One guide: its title and first paragraph (plain text) and the HTML of the rest."""

    name: str
    title: str
    lede: str
    html: str


@cache
def read_guide(name: str) -> Guide:
    """Render docs/`name`.md: a title line, a paragraph, then the text."""
    text = _COMMENT.sub("", (FOLDER / f"{name}.md").read_text())
    title, _, rest = text.partition("\n")
    lede, _, body = rest.strip().partition("\n\n")
    return Guide(name, title.removeprefix("# ").strip(), _plain(lede), _html(body))


def _html(text: str) -> str:
    return nh3.clean(MarkdownIt("commonmark", {"html": False}).enable("table").render(text), link_rel="noreferrer")


def _plain(text: str) -> str:
    """Markdown as plain text; the template escapes it again."""
    return unescape(nh3.clean(MarkdownIt("commonmark").render(text), tags=set())).strip()


def _layout(request: HttpRequest) -> str:
    return "base.html" if request.user.is_authenticated else "base_plain.html"


@require_safe
def guide_list(request: HttpRequest) -> HttpResponse:
    guides = [read_guide(name) for name in GUIDES]
    return render(request, "aiops_site/docs/list.html", {"guides": guides, "layout": _layout(request)})


@require_safe
def guide(request: HttpRequest, name: str) -> HttpResponse:
    if name not in GUIDES:
        raise Http404
    return render(request, "aiops_site/docs/guide.html", {"guide": read_guide(name), "layout": _layout(request)})
