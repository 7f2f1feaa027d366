"""Markdown of runbooks and postmortems as parts of a page: safe HTML, commands, steps to tick, figures to look up.

Beside CommonMark and tables two things are understood: links of the desk with the window and slice of an incident
filled in, `[failures](desk:/events/?{window}&{scope}&status=error)`, and figures, `{figure:error_rate by model}`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from html import unescape

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

# No images: what an image address loads is out of the desk's hands, and a drawing may carry script.
TAGS = {
    "p",
    "br",
    "hr",
    "h3",
    "h4",
    "h5",
    "h6",
    "ul",
    "ol",
    "li",
    "strong",
    "em",
    "code",
    "pre",
    "blockquote",
    "a",
    "s",
}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "th": {"align"}, "td": {"align"}}
SCHEMES = {"http", "https", "mailto"}
PLACEHOLDERS = ("window", "scope", "incident")

_STEP = re.compile(r"\[[ xX]\]\s+")
_FIGURE = re.compile(r"\s*\{figure:\s*([a-z0-9_]+)(?:\s+by\s+([a-z_]+))?\s*\}")
_DESK = re.compile(r"desk:(/(?!/)[^\s]*)")
_MARKS = re.compile(r"\{figure:[^}]*\}?|\]\([^)\s]*\)?|- \[[ xX]\]|^\S*\}|[*_`#\[\]]")
_PLACEHOLDER = re.compile(r"(?:\{|%7B)([a-z]+)(?:\}|%7D)", re.IGNORECASE)


@dataclass(frozen=True)
class Figure:
    """A metric of the catalogue to look up beside a step, whole or by one dimension."""

    metric: str
    by: str = ""


@dataclass(frozen=True)
class Part:
    """A piece of a text. kind: text (`html`), code (`code`, its language `label`) or step (`parts`, `key`, `plain`)."""

    kind: str
    html: str = ""
    code: str = ""
    label: str = ""
    key: str = ""
    plain: str = ""
    parts: tuple["Part", ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Places:
    """What the placeholders of desk links stand for: query strings, and the incident's number."""

    window: str = "range=1h"
    scope: str = ""
    incident: str = ""

    def url(self, address: str) -> str:
        """`desk:/path?{window}` as a path of the desk; other addresses as they are."""
        found = _DESK.fullmatch(address)
        if not found:
            return address
        filled = _PLACEHOLDER.sub(lambda name: self._of(name[1].lower()), found[1])
        path, _, query = filled.partition("?")
        query = "&".join(pair for pair in query.split("&") if pair)
        return f"{path.replace('//', '/')}?{query}" if query else path.replace("//", "/")

    def _of(self, name: str) -> str:
        return getattr(self, name) if name in PLACEHOLDERS else ""


@dataclass
class _Reader:
    places: Places
    prefix: str
    steps: int = field(default=0)


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").enable("strikethrough")


def parts_of(text: str, prefix: str = "", places: Places | None = None) -> tuple[Part, ...]:
    """The parts of a Markdown text, in order. Steps are the `- [ ]` items of outer lists; their keys are "prefix:n"."""
    return tuple(_parts(_markdown().parse(text), _Reader(places or Places(), prefix)))


def html_of(text: str) -> str:
    """A text as safe HTML, without steps, commands and figures of their own."""
    return _html(_markdown().parse(text), Places())


def unmarked(piece: str) -> str:
    """Words cut out of a Markdown text, perhaps in the middle of its markup, without the marks that would puzzle."""
    return " ".join(_MARKS.sub(" ", piece).split())


def steps_of(parts: tuple[Part, ...]) -> list[Part]:
    return [part for part in parts if part.kind == "step"]


def figures_of(parts: tuple[Part, ...]) -> list[Figure]:
    """Every figure that a text asks for, each once."""
    return list(dict.fromkeys(figure for part in parts for figure in (*part.figures, *figures_of(part.parts))))


def unknown_figures(text: str, known: Mapping[str, object], dimensions: tuple[str, ...]) -> list[str]:
    """Figures of a text that name no metric or dimension of the desk, as they are written."""
    return [
        found[0].strip()
        for found in _FIGURE.finditer(text)
        if found[1] not in known or (found[2] and found[2] not in dimensions)
    ]


# --- Blocks -------------------------------------------------------------------------------------------------------
def _parts(tokens: list[Token], reader: _Reader, inside_step: bool = False) -> list[Part]:
    found: list[Part] = []
    text: list[Token] = []
    for block in _blocks(tokens):
        special = _special(block, reader, inside_step)
        if special is None:
            text += block
            continue
        found += [*_text(text, reader), *special]
        text = []
    return [*found, *_text(text, reader)]


def _special(block: list[Token], reader: _Reader, inside_step: bool) -> list[Part] | None:
    first = block[0]
    if first.type in ("fence", "code_block"):
        return [Part("code", code=first.content.rstrip("\n"), label=first.info.strip()[:40])]
    if first.type.endswith("_list_open") and not inside_step and _is_checklist(block):
        return [_step(item, reader) for item in _blocks(block[1:-1])]
    return None


def _blocks(tokens: list[Token]) -> list[list[Token]]:
    """Top-level blocks, each with all tokens from its opening to its closing one."""
    blocks: list[list[Token]] = []
    depth = 0
    for token in tokens:
        if depth == 0:
            blocks.append([])
        blocks[-1].append(token)
        depth += token.nesting
    return blocks


def _is_checklist(block: list[Token]) -> bool:
    return any(_STEP.match(_first_text(item)) for item in _blocks(block[1:-1]))


def _first_text(tokens: list[Token]) -> str:
    return next((token.content for token in tokens if token.type == "inline"), "")


def _step(item: list[Token], reader: _Reader) -> Part:
    reader.steps += 1
    inner = _without_box(item[1:-1])
    parts = tuple(_parts(inner, reader, inside_step=True))
    key = f"{reader.prefix}:{reader.steps}"
    return Part("step", key=key, plain=_FIGURE.sub("", _first_plain(inner))[:500], parts=parts)


def _without_box(tokens: list[Token]) -> list[Token]:
    inline = next((token for token in tokens if token.type == "inline"), None)
    for child in (inline.children or []) if inline else []:
        if child.type == "text":
            child.content = _STEP.sub("", child.content, count=1)
            break
    for token in tokens:  # a tight list hides its paragraphs; a step stands on its own
        token.hidden = False if token.type.startswith("paragraph") else token.hidden
    return tokens


def _first_plain(tokens: list[Token]) -> str:
    blocks = _blocks(tokens)
    return _plain(blocks[0]) if blocks else ""


# --- Inline -------------------------------------------------------------------------------------------------------
def _text(tokens: list[Token], reader: _Reader) -> list[Part]:
    if not tokens:
        return []
    figures = tuple(dict.fromkeys(figure for token in tokens for figure in _take_figures(token)))
    return [Part("text", html=_html(tokens, reader.places), figures=figures)]


def _take_figures(token: Token) -> list[Figure]:
    """The figures asked for in a token, taken out of its text: they are shown beside it."""
    found = []
    for child in token.children or []:
        if child.type == "text":
            found += [Figure(name[1], name[2] or "") for name in _FIGURE.finditer(child.content)]
            child.content = _FIGURE.sub("", child.content)
    return found


def _html(tokens: list[Token], places: Places) -> str:
    for token in tokens:
        for child in token.children or []:
            if child.type == "link_open":
                child.attrSet("href", places.url(str(child.attrGet("href") or "")))
    _lower_headings(tokens)
    html = _markdown().renderer.render(tokens, _markdown().options, {})
    return nh3.clean(html, tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel="noopener noreferrer")


def _lower_headings(tokens: list[Token]) -> None:
    """A page has its own h1 and h2: headings of a text begin below them."""
    for token in tokens:
        if token.type.startswith("heading"):
            token.tag = f"h{min(6, max(3, int(token.tag[1])))}"


def _plain(tokens: list[Token]) -> str:
    html = _markdown().renderer.render(tokens, _markdown().options, {})
    return " ".join(unescape(nh3.clean(html, tags=set())).split())
