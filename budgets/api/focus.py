"""GET /api/v1/focus: the charges of a key's team as FOCUS 1.2 CSV."""

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api import key_of, only_parameters
from budgets.focus import focus_lines, focus_name, focus_window
from usage.api.metrics import ERRORS, bad, parameter

PARAMETERS = ("month", "start", "end")


class FocusView(APIView):
    """Charges by day, provider, model and tags."""

    required_scope = "read"

    @extend_schema(
        operation_id="focus",
        summary="Charges as FOCUS 1.2",
        tags=["figures"],
        description="CSV, streamed: one line per UTC day, provider, model, environment, feature and cost centre of the "
        "key's team; a second one where some calls have an unknown cost, with empty cost columns. BilledCost adds up "
        "to the spend of the window to the last digit.",
        parameters=[
            parameter("month", "YYYY-MM; default: the current month"),
            parameter("start", "First day, YYYY-MM-DD (UTC)", type=OpenApiTypes.DATE),
            parameter("end", "Day after the last, YYYY-MM-DD (UTC)", type=OpenApiTypes.DATE),
        ],
        responses={(200, "text/csv"): OpenApiTypes.STR} | ERRORS,
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        get, now = request.query_params, timezone.now()
        only_parameters(request, *PARAMETERS)
        try:
            start, end = focus_window(get.get("month", ""), get.get("start", ""), get.get("end", ""), now)
        except ValueError as refused:
            said = next((name for name in PARAMETERS if str(refused).startswith(f"{name} ")), "month")
            raise bad(said, str(refused), "Send month=2026-01, or start and end as days.") from refused
        lines = focus_lines([key_of(request).team], start, end, now)
        response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{focus_name(start, end)}"'
        return response
