"""Markdown as data for the typesetter: blocks and runs of text, no markup left. Pure."""

from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

Block = dict[str, Any]
_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
DEEPEST = 10  # lists and quotes nested deeper are read as paragraphs: the typesetter has a limit
_CONTAINERS = {"bullet_list": "list", "ordered_list": "numbered", "blockquote": "quote", "list_item": "item"}


def blocks_of(text: str) -> list[Block]:
    """[{"kind": "text" | "heading" | "code" | "list" | "numbered" | "item" | "quote" | "table" | "rule", …}].

    text, heading: `runs`; code: `code`; list, numbered, quote, item: `blocks`; table: `rows` of cells of runs.
    """
    return _blocks(_markdown.parse(text))


def _blocks(tokens: list[Token], level: int = 0) -> list[Block]:
    if level > DEEPEST:
        return [{"kind": "text", "runs": _runs(token)} for token in tokens if token.type == "inline"]
    found = (_block(group, level) for group in _groups(tokens))
    return [block for block in found if block]


def _groups(tokens: list[Token]) -> list[list[Token]]:
    groups: list[list[Token]] = []
    depth = 0
    for token in tokens:
        if depth == 0:
            groups.append([])
        groups[-1].append(token)
        depth += token.nesting
    return groups


def _block(group: list[Token], level: int) -> Block | None:
    first = group[0]
    name = first.type.removesuffix("_open")
    if name in _CONTAINERS:
        return {"kind": _CONTAINERS[name], "blocks": _blocks(group[1:-1], level + 1)}
    if name in ("paragraph", "heading"):
        return {"kind": "text" if name == "paragraph" else "heading", "runs": _runs(group[1])}
    if name in ("fence", "code_block"):
        return {"kind": "code", "code": first.content.rstrip("\n")}
    if name == "table":
        rows = _rows(group)
        return {"kind": "table", "rows": rows, "columns": max(len(row) for row in rows)}
    return {"kind": "rule"} if name == "hr" else None


def _rows(table: list[Token]) -> list[list[list[Block]]]:
    rows: list[list[list[Block]]] = []
    for token in table:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(_runs(token))
    return rows


def _runs(inline: Token) -> list[Block]:
    """Runs of an inline token: `text` with `strong`, `em`, `code` and the address of a link."""
    runs: list[Block] = []
    strong = em = 0
    links: list[str] = []
    for child in inline.children or []:
        if child.type in ("strong_open", "strong_close"):
            strong += child.nesting
        elif child.type in ("em_open", "em_close"):
            em += child.nesting
        elif child.type == "link_open":
            links.append(str(child.attrGet("href") or ""))
        elif child.type == "link_close":
            links.pop()
        else:
            text = {"softbreak": " ", "hardbreak": "\n"}.get(child.type, child.content)
            link = links[-1] if links and links[-1].startswith(("https://", "http://", "mailto:")) else ""
            runs.append(
                {
                    "text": text,
                    "strong": bool(strong),
                    "em": bool(em),
                    "code": child.type == "code_inline",
                    "link": link,
                }
            )
    return runs
