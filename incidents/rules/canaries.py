"""What a synthetic check asks of an answer, written by people a line each, and whether an answer meets it."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["present", "type", "contains", "lacks", "citations"]
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "object": (dict,),
}
MOST = 20
EXCERPT = 500
HELP = (
    "json PATH, json PATH is string (number, boolean, list, object), text contains …, text lacks …, citations PATH >= 2"
)
_JSON = re.compile(r"json\s+(\S+)(?:\s+is\s+(\w+))?", re.IGNORECASE)
_TEXT = re.compile(r"text\s+(contains|lacks)\s+(.+)", re.IGNORECASE)
_CITATIONS = re.compile(r"citations\s+(\S+)\s*>=\s*(\d{1,6})", re.IGNORECASE)
_MISSING = object()


@dataclass(frozen=True)
class Assertion:
    """One line. `path`: keys and list places with dots; `value`: the type, the text or the least number."""

    kind: Kind
    path: str = ""
    value: str = ""

    @property
    def line(self) -> str:
        """As people write it."""
        return {
            "present": f"json {self.path}",
            "type": f"json {self.path} is {self.value}",
            "contains": f"text contains {self.value}",
            "lacks": f"text lacks {self.value}",
            "citations": f"citations {self.path} >= {self.value}",
        }[self.kind]


def parse(text: str) -> list[Assertion]:
    """A line each. Raises ValueError that names the first line that cannot be read."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > MOST:
        raise ValueError(f"At most {MOST} lines.")
    return [_parsed(line) for line in lines]


def _parsed(line: str) -> Assertion:
    if found := _CITATIONS.fullmatch(line):
        return Assertion("citations", found[1], str(int(found[2])))
    if found := _TEXT.fullmatch(line):
        kind: Kind = "contains" if found[1].lower() == "contains" else "lacks"
        return Assertion(kind, value=found[2].strip())
    found = _JSON.fullmatch(line)
    if found and found[2] is None:
        return Assertion("present", found[1])
    if found and found[2].lower() in TYPES:
        return Assertion("type", found[1], found[2].lower())
    raise ValueError(f"“{line[:80]}” cannot be read. Write: {HELP}.")


@dataclass(frozen=True)
class Answered:
    """What came back: `body` as text, `whole` whether that is all of it."""

    status: int
    body: str
    milliseconds: int
    whole: bool = True


def failures(answer: Answered, *, status: int, slowest_ms: int | None, assertions: Iterable[Assertion]) -> list[str]:
    """Everything that is wrong with an answer, in words; [] when it is as it must be."""
    wrong = []
    if answer.status != status:
        wrong.append(f"Status {answer.status} instead of {status}")
    if slowest_ms is not None and answer.milliseconds > slowest_ms:
        wrong.append(f"Answered in {answer.milliseconds} ms, more than {slowest_ms} ms")
    assertions = list(assertions)
    tree = _tree(answer) if any(one.path for one in assertions) else _MISSING
    if tree is _MISSING and any(one.path for one in assertions):
        why = "" if answer.whole else ": it is too long to be read whole"
        return [*wrong, f"The answer is no JSON{why}"]
    return wrong + [words for one in assertions if (words := _wrong(one, answer.body, tree))]


def _tree(answer: Answered) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return _MISSING


def _wrong(one: Assertion, body: str, tree: Any) -> str:
    if one.kind in ("contains", "lacks"):
        there = one.value.casefold() in body.casefold()
        return "" if there == (one.kind == "contains") else f"The text {'lacks' if not there else 'has'} “{one.value}”"
    value = at_path(tree, one.path)
    if value is _MISSING or value is None:
        return f"{one.path} is missing"
    if one.kind == "type" and not _is(value, one.value):
        return f"{one.path} is no {one.value}"
    if one.kind == "citations":
        return _too_few(one, value)
    return ""


def _is(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _too_few(one: Assertion, value: Any) -> str:
    """A list is counted, a number is taken as the count."""
    if isinstance(value, bool) or not isinstance(value, list | int):
        return f"{one.path} is no list and no number of citations"
    count = len(value) if isinstance(value, list) else value
    return f"{count} citations, fewer than {one.value}" if count < int(one.value) else ""


def at_path(tree: Any, path: str) -> Any:
    """What stands at keys and list places joined with dots, e.g. choices.0.message.content."""
    for part in path.split("."):
        if isinstance(tree, dict) and part in tree:
            tree = tree[part]
        elif isinstance(tree, list) and part.isascii() and part.isdigit() and int(part[:9]) < len(tree):
            tree = tree[int(part[:9])]
        else:
            return _MISSING
    return tree


def excerpt(body: str, secrets: Iterable[str]) -> str:
    """The beginning of an answer without these secrets, nor any part of theirs between blanks."""
    words = {word for secret in secrets for word in (secret, *secret.split()) if len(word) >= 6}
    for word in sorted(words, key=len, reverse=True):
        body = body.replace(word, "•••")
    shown = "".join(letter if letter.isprintable() else " " for letter in body[:EXCERPT])
    return shown + ("…" if len(body) > EXCERPT else "")
