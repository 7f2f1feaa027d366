"""The FOCUS export as a file, for the teams that the viewer sees."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import get_team, visible_teams
from budgets.focus import focus_lines, focus_name, focus_window


@login_required
@require_safe
def focus_csv(request: HttpRequest) -> HttpResponseBase:
    """`month` (YYYY-MM) or `start` and `end` (YYYY-MM-DD, end exclusive), UTC days; `team` narrows."""
    get, now = request.GET, timezone.now()
    teams = [get_team(request.user, slug)] if (slug := get.get("team")) else list(visible_teams(request.user))
    try:
        start, end = focus_window(get.get("month", ""), get.get("start", ""), get.get("end", ""), now)
    except ValueError as refused:
        return HttpResponse(str(refused), status=400, content_type="text/plain; charset=utf-8")
    response = StreamingHttpResponse(focus_lines(teams, start, end, now), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{focus_name(start, end)}"'
    return response
