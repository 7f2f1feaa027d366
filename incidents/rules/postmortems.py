"""What a postmortem needs before it is published, its whys as an outline, words that look for a culprit. Pure."""

import re
from collections.abc import Mapping
from typing import Any

# In the order of the document: field, heading, what belongs there.
SECTIONS = (
    ("summary", "Summary", "Three sentences for somebody who was not there: what broke, for whom, what ended it"),
    ("impact", "Impact", "Who noticed what, how many, for how long, what it cost"),
    ("root_cause", "Root cause", "The condition without which it would not have happened"),
    ("contributing", "Contributing factors", "What made it more likely, longer or worse"),
    ("went_well", "What went well", "What to keep"),
    ("went_badly", "What went badly", "What cost time or trust"),
    ("luck", "Where we were lucky", "What could have made it worse; write “nothing” if so"),
)
NEEDED_OF_ITEM = (("owner", "an owner"), ("due", "a due date"), ("measure", "a measure"))
DEEPEST = 8
MOST_WHYS = 60
_BLAME = re.compile(
    r"\b(should have (?:known|noticed|checked|seen)|careless\w*|negligen\w+|sloppy|stupid|incompeten\w+|human error"
    r"|fault of|to blame|blamed?|forgot|failed to (?:notice|check|follow))\b",
    re.IGNORECASE,
)


def missing(sections: Mapping[str, str], whys: list[dict[str, Any]], items: list[Mapping[str, Any]]) -> list[str]:
    """What a postmortem lacks for being published, one sentence each; [] where nothing does.

    `items`: action items that were not dropped, as mappings with text, owner, due and measure.
    """
    found = [f"“{title}” is empty." for name, title, _ in SECTIONS if not sections[name].strip()]
    if depth(whys) < 2:
        found.append("The whys stop at the first: ask at least once more, under it.")
    if not items:
        found.append("There is no action item.")
    for item in items:
        lacks = [words for name, words in NEEDED_OF_ITEM if not item[name]]
        if lacks:
            found.append(f"“{item['text']}” has no {' and no '.join(word.partition(' ')[2] for word in lacks)}.")
    return found


def first_impact(facts: Mapping[str, Any]) -> str:
    """What the figures say of the impact, to begin with: "3 of 21 requests failed (14 %). …"; "" without figures."""
    known = {label: value for label, value, _ in facts["numbers"]}
    said = []
    if "Failed requests" in known:
        said.append(f"{known['Failed requests']} of {known['Requests']} requests failed ({known['Error rate']}).")
    if tenants := known.get("Tenants with failed requests"):
        said.append(f"Tenants with failed requests: {tenants}.")
    if "Spend" in known:
        said.append(f"Spend of the slice in that time: {known['Spend']}.")
    return " ".join(said)


def blaming(sections: Mapping[str, str], whys: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(heading, words) that look for a culprit rather than a cause: a hint, never an obstacle."""
    texts = [(title, sections[name]) for name, title, _ in SECTIONS] + [("Whys", outline(whys))]
    return [(title, found[0]) for title, text in texts for found in _BLAME.finditer(text)]


# --- Whys ---------------------------------------------------------------------------------------------------------
def read_outline(text: str) -> list[dict[str, Any]]:
    """An outline, two blanks deeper for each "because", as a tree. Raises ValueError with the line that is wrong."""
    lines = [line.replace("\t", "  ") for line in text.splitlines() if line.strip()]
    if len(lines) > MOST_WHYS:
        raise ValueError(f"At most {MOST_WHYS} lines.")
    tree: list[dict[str, Any]] = []
    branch: list[list[dict[str, Any]]] = [tree]
    indents: list[int] = []
    for line in lines:
        indent, said = len(line) - len(line.lstrip()), line.strip().removeprefix("-").strip()
        while indents and indent <= indents[-1]:
            indents.pop()
            branch.pop()
        if len(indents) >= DEEPEST:
            raise ValueError(f"“{said[:40]}” is more than {DEEPEST} levels deep.")
        node: dict[str, Any] = {"text": said[:500], "because": []}
        branch[-1].append(node)
        branch.append(node["because"])
        indents.append(indent)
    return tree


def outline(whys: list[dict[str, Any]], level: int = 0) -> str:
    """The tree as it is typed."""
    lines = [f"{'  ' * level}- {why['text']}\n{outline(why['because'], level + 1)}" for why in whys]
    return "".join(lines)


def depth(whys: list[dict[str, Any]]) -> int:
    return max((1 + depth(why["because"]) for why in whys), default=0)
