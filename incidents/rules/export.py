"""A postmortem's document as Markdown. Pure: from the data that a version keeps."""

from datetime import datetime
from typing import Any

from aiops_site import formats


def markdown_of(document: dict[str, Any]) -> str:
    """The whole document; times in UTC, charts as their findings."""
    parts = [_head(document)]
    for name, title, text in document["sections"]:
        parts.append(f"## {title}\n\n{lowered(text.strip()) or '*Nothing is written here.*'}")
        if name == "impact":
            parts += [_numbers(document), _timeline(document)]
        if name == "root_cause":
            parts.append(f"## Whys\n\n{_whys(document['whys']) or '*Nobody asked yet.*'}")
    return "\n\n".join([*parts, _items(document)]) + "\n"


def lowered(text: str) -> str:
    """Headings of a section stay below its own."""
    lines = (f"##{line}" if line.startswith("#") and not line.startswith("###") else line for line in text.splitlines())
    return "\n".join(lines)


def clock(text: str | None) -> str:
    """An ISO time as people read it, in UTC; "not known" for None."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC" if text else "not known"


def cell(text: str) -> str:
    """Text for a table: one line, without a bar that would end the cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _head(document: dict[str, Any]) -> str:
    facts = [f"**{document['severity']}**", document["mode"], document["team"]]
    facts += [f"{name} {value}" for name, value in document["slice"]]
    lines = [f"# {document['number']}: {document['title']}", "", " · ".join(facts)]
    if document.get("published"):
        lines += ["", f"Version {document['version']}, published {clock(document['published'])}"]
        lines += [f"by {document['author']}, signed off by {document['reviewer']}."]
    else:
        lines += ["", "*Draft: not reviewed, not published.*"]
    return "\n".join(lines)


def _numbers(document: dict[str, Any]) -> str:
    rows = [f"| {cell(label)} | {cell(value)} | {cell(note)} |" for label, value, note in document["numbers"]]
    rows += [f"| {name} ({words}) | {length(seconds)} | |" for name, words, seconds in document["clocks"]]
    findings = [f"- {chart['title']}" for chart in document["charts"]]
    table = "\n".join(["| figure | value | compared with |", "|---|---|---|", *rows])
    return "\n\n".join([table, *(["\n".join(findings)] if findings else [])])


def length(seconds: float | None) -> str:
    return formats.long_duration(int(seconds)) if seconds is not None else formats.UNKNOWN


def _timeline(document: dict[str, Any]) -> str:
    marks = [f"- **{label}**: {clock(at)}" for label, at in document["times"]]
    rows = [
        f"| {clock(at)} | {cell(kind)} | {cell(text)} | {cell(who)} |" for at, kind, text, who in document["timeline"]
    ]
    more = [f"{document['left_out']} more entries are in the incident."] if document["left_out"] else []
    table = "\n".join(["| when | kind | what | who |", "|---|---|---|---|", *rows])
    return "\n\n".join(["## Timeline", "\n".join(marks), table, *more])


def _whys(whys: list[dict[str, Any]], level: int = 0) -> str:
    lines = [f"{'  ' * level}- {why['text']}\n{_whys(why['because'], level + 1)}" for why in whys]
    return "".join(lines) if level else "".join(lines).rstrip()


def _items(document: dict[str, Any]) -> str:
    names = ("text", "kind", "owner", "due", "measure", "state")
    rows = ["| " + " | ".join(cell(item[name]) for name in names) + " |" for item in document["items"]]
    head = ["| what | aim | owner | due | measure | state |", "|---|---|---|---|---|---|"]
    return "## Action items\n\n" + ("\n".join([*head, *rows]) if rows else "*None.*")
