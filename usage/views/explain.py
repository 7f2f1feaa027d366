"""What changed: two windows of any metric, taken apart."""

from dataclasses import dataclass, replace
from functools import cached_property

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from usage.metrics import QueryError
from usage.models import Series
from usage.queries.explain import Question, explain
from usage.queries.explained import EXPLAINED, Explained
from usage.rules.spend import Window, weeks_earlier
from usage.scope import Scope, moment_of
from usage.views import explain_shown as shown
from usage.views.events import first_event
from usage.views.spend import more_filters

# The page's own parameters: they do not belong to others.
OWN = ("metric", "by", "base_from", "base_to")


@dataclass(frozen=True)
class Asked:
    """What a request asks to have explained. `chosen`: the window compared with was given by its times."""

    scope: Scope
    metric: Explained
    by: str
    chosen: Window | None
    errors: tuple[str, ...] = ()

    @classmethod
    def from_request(cls, request: HttpRequest) -> "Asked":
        scope = Scope.from_request(request)
        scope = replace(scope, filters=scope.filters | more_filters(request))
        if scope.compare == "none":
            scope = replace(scope, compare="week")
        chosen, error = _chosen(request, scope)
        metric = EXPLAINED.get(request.GET.get("metric", ""), EXPLAINED["spend"])
        return cls(replace(scope, errors=(*scope.errors, *error)), metric, request.GET.get("by", ""), chosen)

    @cached_property
    def window(self) -> Window:
        return Window.in_minutes(self.scope.start, self.scope.end)

    @cached_property
    def before(self) -> Window:
        if self.chosen:
            return self.chosen
        if self.scope.compare == "week":
            return weeks_earlier(self.window, self.scope.zone)
        return Window(self.window.start - (self.window.end - self.window.start), self.window.start)

    @property
    def question(self) -> Question:
        scope = self.scope
        return Question(self.metric, self.window, self.before, scope.team_ids, scope.filters, scope.zone)

    def url(self, **changes) -> str:
        return self.scope.url(**changes)

    @property
    def dates(self) -> str:
        return shown.dates(self.window, self.scope.zone)

    @property
    def dates_before(self) -> str:
        return shown.dates(self.before, self.scope.zone)


def _chosen(request: HttpRequest, scope: Scope) -> tuple[Window | None, tuple[str, ...]]:
    """The window of base_from and base_to; a bad one is said and left out."""
    texts = [request.GET.get(name, "") for name in ("base_from", "base_to")]
    if not any(texts):
        return None, ()
    try:
        start, end = (moment_of(text, scope.zone) for text in texts)
    except ValueError as error:
        return None, (f"{error} Comparing with a week earlier instead.",)
    if end <= start:
        return None, ("“base_to” must be after “base_from”. Comparing with a week earlier instead.",)
    return Window.in_minutes(start, end), ()


@login_required
@require_safe
def explain_page(request: HttpRequest) -> HttpResponse:
    """The page. What the roll-ups cannot answer is refused in words."""
    asked = Asked.from_request(request)
    context = {
        "asked": asked,
        "scope": asked.scope,
        "default_compare": "week",
        "metrics": [(one.name, one.label, one is asked.metric) for one in EXPLAINED.values()],
        "form_hidden": [pair for pair in asked.scope.parameters if pair[0] not in ("metric", "by")],
        "other_base_url": asked.url(base_from=None, base_to=None),
        "spend_url": asked.url(**dict.fromkeys(OWN)).replace("?", "/spend/?", 1),
    }
    if not Series.objects.filter(team_id__in=asked.scope.team_ids).exists():
        return render(request, "usage/explain/first_run.html", context | {"curl": first_event(request)})
    try:
        return render(request, "usage/explain/page.html", context | shown.figures(asked, explain(asked.question)))
    except QueryError as refused:
        return render(request, "usage/explain/refused.html", context | {"refusal": str(refused)}, status=400)
