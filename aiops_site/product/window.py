"""The scope that the product and executive views open with."""

from dataclasses import replace
from datetime import timedelta

from django.http import HttpRequest

from usage.scope import Scope

LONGEST = timedelta(days=731)  # a chart of more has more points than can be told apart, or than a query answers


def scope_of(request: HttpRequest, default_range: str) -> Scope:
    """Compared with the period before unless the URL says otherwise; a longer window is cut, and said to be."""
    scope = Scope.from_request(request, default_range=default_range)
    if "compare" not in request.GET:
        scope = replace(scope, compare="previous")
    if scope.end - scope.start <= LONGEST:
        return scope
    cut = scope.between(scope.end - LONGEST, scope.end)
    return replace(cut, errors=(*scope.errors, "At most two years are shown: these are the last two of that time."))
