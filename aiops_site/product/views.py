"""The product view and its parts. Each part has its own address, so that the tiles never wait for the rest."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.posted import whole_number
from aiops_site import formats
from aiops_site.middleware import HtmxRequest
from aiops_site.product import changes, comparison, links, summary, trends, versions
from aiops_site.product.window import scope_of
from usage.changes import changes_between
from usage.models import ChangeMarker, Series
from usage.queries.recent import recent
from usage.queries.top import top_by_cost
from usage.scope import UNTAGGED, Scope
from usage.views.events import first_event

DEFAULT_RANGE = "7d"


@dataclass(frozen=True)
class Part:
    """A part of the page: its heading, the skeleton it replaces and what its template draws."""

    title: str
    skeleton: str
    context: Callable[[HttpRequest, Scope], dict]


def _versions(request: HttpRequest, scope: Scope) -> dict:
    get = request.GET
    table = versions.read(scope, get.get("by", ""))
    change = _change(scope, get.get("change", ""))
    context = {"table": table, "changes": changes.of(scope), "change": change, "around": _spans(request, scope)}
    if change:
        span = get.get("around", comparison.DEFAULT_SPAN)
        return context | {"comparison": comparison.around(scope, change, span, timezone.now())}
    pair = comparison.chosen(scope, table, get.dict())
    if not pair:
        return context
    before, after = pair
    table = replace(table, rows=versions.mark(table.rows, before.feature, before.name, after.name))
    return context | {
        "table": table,
        "comparison": comparison.of_versions(scope, table.by, before, after),
        "feature": before.feature or UNTAGGED,
        "features": [name or UNTAGGED for name in table.several],
        "choices": table.of(before.feature),
        "pair": {"a": before.name, "b": after.name},
        "form_hidden": [pair for pair in scope.parameters if pair[0] not in ("of", "a", "b", "change", "around")],
    }


def _change(scope: Scope, text: str) -> ChangeMarker | None:
    """The change asked for. Raises Http404 for one of another team."""
    if not text:
        return None
    far = timezone.now()
    mine = changes_between(scope.team_ids, far - timedelta(days=400), far)
    return get_object_or_404(mine, pk=whole_number(text))


def _spans(request: HttpRequest, scope: Scope) -> list[tuple[str, str, bool]]:
    current = request.GET.get("around", comparison.DEFAULT_SPAN)
    return [(span, links.page(scope, around=span) + "#versions", span == current) for span in comparison.SPANS]


def _trends(_: HttpRequest, scope: Scope) -> dict:
    return {"charts": trends.read(scope)}


def _top(_: HttpRequest, scope: Scope) -> dict:
    last = recent(scope)
    top = top_by_cost(last)
    return {
        "span": formats.span_text(timedelta(minutes=(last.end - last.start) // timedelta(minutes=1))),
        "conversations": [(one, reverse("conversation", args=[one.team.slug, one.key])) for one in top.conversations],
        "users": [(one, links.evidence(last, team=one.team.slug, q=one.key)) for one in top.users],
        "failed_url": links.evidence(last, status="error"),
    }


PARTS = {
    "versions": Part("Versions compared", "table", _versions),
    "trends": Part("Over time", "chart", _trends),
    "top": Part("Dearest users and conversations", "table", _top),
}


@login_required
@require_safe
@vary_on_headers("HX-Request")
def product(request: HttpRequest) -> HttpResponse:
    """The page: tiles and health score, then its parts."""
    scope = scope_of(request, DEFAULT_RANGE)
    if not Series.objects.filter(team_id__in=scope.team_ids).exists():
        return render(request, "aiops_site/product/first_run.html", {"scope": scope, "curl": first_event(request)})
    parts = [(name, part.title, part.skeleton, links.part(scope, name)) for name, part in PARTS.items()]
    context = {"scope": scope, "default_compare": "previous", "parts": parts}
    context |= {"summary": summary.read(scope), "health": summary.read_health(scope)}
    return render(request, "aiops_site/product/page.html", context)


@login_required
@require_safe
@vary_on_headers("HX-Request")
def product_part(request: HtmxRequest, name: str) -> HttpResponse:
    """One part: alone for htmx, as a page of its own without a script."""
    if name not in PARTS:
        raise Http404
    scope = scope_of(request, DEFAULT_RANGE)
    part = PARTS[name]
    context = {"scope": scope, "part": part} | part.context(request, scope)
    template = f"aiops_site/product/{name}.html"
    if request.htmx:
        return render(request, template, context)
    return render(
        request, "aiops_site/product/part.html", context | {"template": template, "page_url": links.page(scope)}
    )
