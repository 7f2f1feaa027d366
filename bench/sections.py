"""Sections of docs/benchmarks.md that other benchmarks than `make bench` write, each between its own markers.

`put` writes one section and leaves the rest of the page alone; `kept` carries all of them over when the page is
written anew.
"""

import re
from pathlib import Path

_SECTION = re.compile(r"<!-- (?P<name>[a-z]+) begins -->\n.*?<!-- (?P=name) ends -->\n", re.DOTALL)


def put(page: Path, name: str, text: str) -> None:
    """Replace the section of this name (lower-case letters), or append it; `text` begins with its heading."""
    section = f"<!-- {name} begins -->\n{text.strip()}\n<!-- {name} ends -->\n"
    before = page.read_text() if page.exists() else ""
    others = [found[0] for found in _SECTION.finditer(before) if found["name"] != name]
    page.write_text(_joined(_SECTION.sub("", before), [*others, section]))


def kept(page: Path, text: str) -> str:
    """A new text of the page with the sections of the present one behind it."""
    before = page.read_text() if page.exists() else ""
    return _joined(text, [found[0] for found in _SECTION.finditer(before)])


def _joined(text: str, sections: list[str]) -> str:
    order = sorted(sections)
    return "\n".join([text.rstrip() + "\n", *order]) if text.strip() else "\n".join(order)
