"""A postmortem as PDF, set by Typst. Its texts go there as data, never as markup, so nothing in them is run."""

import json
from pathlib import Path
from typing import Any

import typst

from incidents.rules.blocks import blocks_of
from incidents.rules.drawing import svg_of
from incidents.rules.export import clock, length

TEMPLATE = Path(__file__).resolve().parent / "shipped" / "postmortem.typ"


def pdf_of(document: dict[str, Any]) -> bytes:
    """The document of a postmortem on A4, tagged for screen readers; times in UTC."""
    ready = document | {
        "sections": [
            {"name": name, "title": title, "blocks": blocks_of(text)} for name, title, text in document["sections"]
        ],
        "times": [[label, clock(at)] for label, at in document["times"]],
        "clocks": [[name, words, length(seconds)] for name, words, seconds in document["clocks"]],
        "timeline": [[clock(at).removesuffix(" UTC"), kind, text, who] for at, kind, text, who in document["timeline"]],
        "charts": [{"title": chart["title"], "svg": svg_of(chart)} for chart in document["charts"]],
        "published": clock(document["published"]) if document.get("published") else "",
    }
    return typst.compile(TEMPLATE, sys_inputs={"document": json.dumps(ready, default=str)})
