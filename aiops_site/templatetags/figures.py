"""Figures, times and page helpers for templates. Words and digits come from aiops_site/formats.py."""

from datetime import datetime
from decimal import Decimal

from django import template
from django.template.context import RequestContext
from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString

from aiops_site import formats

register = template.Library()


def spelled(short: str, long: str) -> SafeString:
    """The short form, with every digit on hover where it says more."""
    if short == formats.UNKNOWN:
        return format_html('<span class="unknown">{}</span>', short)
    if short == long:
        return escape(short)
    return format_html('<span data-exact title="{}">{}</span>', long, short)


@register.filter
def money(value) -> SafeString:
    """Decimal USD: $0.0021, $847.23, $1,204; None: unknown."""
    return spelled(formats.money(value), formats.money_exact(value))


@register.filter
def count(value) -> SafeString:
    """12345: 12.3k, with 12,345 on hover."""
    return spelled(formats.compact(value), formats.exact(value))


@register.filter
def exact(value) -> str:
    """12345: 12,345."""
    return formats.exact(value)


@register.filter
def counted(number: int, things: str) -> str:
    """1|counted:"requests": 1 request."""
    return formats.counted(number, things)


@register.filter
def percent(value) -> SafeString:
    """A ratio: 0.0123 is 1.2 %."""
    number = formats.known(value)
    return spelled(formats.percent(value), formats.UNKNOWN if number is None else f"{formats.exact(number * 100)} %")


@register.filter
def duration(value) -> SafeString:
    """Milliseconds: 840 ms, 2.4 s."""
    number = formats.known(value)
    return spelled(
        formats.duration(value), f"{formats.exact(value)} ms" if number and number >= 1000 else formats.duration(value)
    )


@register.filter
def figure(value, unit: str) -> SafeString:
    """`value` as it is said in `unit` (USD, ms, %, tokens, requests, or "USD/h")."""
    short = formats.figure(value, unit)
    return spelled(short, short if unit in ("%", "ms") else formats.figure_exact(value, unit))


@register.filter
def when(moment: datetime | None) -> SafeString:
    """ "5 min ago", with the viewer's wall clock on hover; None: never."""
    if moment is None:
        return format_html('<span class="faint">{}</span>', "never")
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>', moment.isoformat(), clock_text(local), formats.ago(moment)
    )


@register.filter
def clock(moment: datetime | None) -> SafeString:
    """The viewer's wall clock, to the second, with the zone on hover."""
    if moment is None:
        return format_html('<span class="faint">{}</span>', "–")
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), clock_text(local), f"{local:%d %b %H:%M:%S}"
    )


def clock_text(local: datetime) -> str:
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"


@register.inclusion_tag("components/delta.html")
def delta(value, previous, better: str = "", label: str = "") -> dict[str, object]:
    """The change against `previous`: arrow, per cent and a word. `better` is "up", "down" or neither ("")."""
    ratio = formats.change(value, previous)
    if ratio is None:
        same = formats.known(value) is not None and formats.known(value) == formats.known(previous)
        return {"text": "no change" if same else "no comparison", "tone": "none", "label": label}
    if abs(ratio) < Decimal("0.005"):
        return {"text": "no change", "tone": "flat", "label": label}
    return {
        "arrow": "▲" if ratio > 0 else "▼",
        "text": change_text(ratio),
        "word": "more" if ratio > 0 else "less",
        "verdict": verdict(ratio, better),
        "tone": {"better": "ok", "worse": "bad"}.get(verdict(ratio, better), "flat"),
        "label": label,
        "exact": f"{formats.exact(previous)} before",
    }


def change_text(ratio: Decimal) -> str:
    """+12 %, −3.4 %, ×8.2 beyond a fivefold rise."""
    if ratio > 4:
        return f"×{formats.compact(ratio + 1)}"
    return f"{'+' if ratio > 0 else ''}{formats.percent(ratio)}"


def verdict(ratio: Decimal, better: str) -> str:
    if better not in ("up", "down"):
        return ""
    return "better" if (ratio > 0) == (better == "up") else "worse"


@register.simple_tag(takes_context=True)
def live(context: RequestContext, name: str, seconds: int = 15) -> SafeString:
    """Attributes of a section that refreshes itself: the same page is fetched and `#name` morphed in place."""
    return format_html(
        'id="{0}" data-live="{1}" hx-get="{2}" hx-trigger="refresh" hx-select="#{0}" hx-swap="outerMorph"',
        name,
        seconds,
        context["request"].get_full_path(),
    )


@register.simple_tag(takes_context=True)
def with_query(context: RequestContext, **changes) -> str:
    """This page's query string with `changes`; an empty value drops the parameter, and paging starts anew."""
    query = context["request"].GET.copy()
    for name in ("before", "after", "cursor"):
        query.pop(name, None)
    for name, value in changes.items():
        if value in (None, ""):
            query.pop(name, None)
        else:
            query[name] = str(value)
    return f"?{query.urlencode()}"


@register.simple_tag(takes_context=True)
def sort_th(context: RequestContext, label: str, name: str, number: bool = True, default: str = "") -> SafeString:
    """A column head that sorts: first click descending for numbers, ascending for words, the next the other way."""
    current = context["request"].GET.get("sort", default)
    first, second = (f"-{name}", name) if number else (name, f"-{name}")
    state = {f"-{name}": "descending", name: "ascending"}.get(current, "none")
    return format_html(
        '<th scope="col" class="{}" aria-sort="{}"><a href="{}">{}<span aria-hidden="true">{}</span></a></th>',
        "num" if number else "",
        state,
        with_query(context, sort=second if current == first else first),
        label,
        {"descending": " ↓", "ascending": " ↑"}.get(state, ""),
    )


@register.inclusion_tag("components/bar_cell.html")
def bar_cell(share, tone: str = "accent") -> dict[str, object]:
    """An inline bar for a share between 0 and 1; nothing for None."""
    number = formats.known(share)
    width = None if number is None else round(float(min(max(number, Decimal(0)), Decimal(1)) * 100), 1)
    return {"width": width, "tone": tone, "text": formats.percent(share)}


@register.filter
def dimension(name: str) -> str:
    """A field's name in words: prompt_version is "prompt version", cost_center "cost centre"."""
    return str(name).replace("_", " ").replace("center", "centre")
