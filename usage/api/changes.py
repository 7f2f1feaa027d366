"""POST and GET /api/v1/changes."""

from datetime import datetime, timedelta

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import ApiProblem, key_of
from usage.changes import changes_between, record_change
from usage.models import ChangeMarker
from usage.rules.calendar import is_plausible

LISTED = 500
WINDOW = timedelta(days=30)
AHEAD = timedelta(days=1)


def _plausible(moment: datetime) -> None:
    if not is_plausible(moment):
        raise serializers.ValidationError("The year must be from 2000 to 2200.")


class ChangeSerializer(serializers.ModelSerializer):
    """A change marker. Without `at`, it happened now."""

    at = serializers.DateTimeField(required=False, help_text="ISO 8601 with zone; default: now")

    class Meta:
        model = ChangeMarker
        fields = ["id", "at", "kind", "title", "description", "ref", "environment", "service", "feature", "url"]

    def validate_at(self, at):
        _plausible(at)
        if at > timezone.now() + AHEAD:
            raise serializers.ValidationError("Send the time of the change once it is known: at most a day ahead.")
        return at


class WindowSerializer(serializers.Serializer):
    start = serializers.DateTimeField(required=False, validators=[_plausible])
    end = serializers.DateTimeField(required=False, validators=[_plausible])


class ChangesView(APIView):
    """Changes of the key's team."""

    def get_permissions(self):
        self.required_scope = "read" if self.request.method == "GET" else "ingest"
        return super().get_permissions()

    @extend_schema(
        summary="Post a change marker",
        description="Scope `ingest`. With the header `Idempotency-Key`, a retry answers 200 with the first marker.",
        request=ChangeSerializer,
        responses={201: ChangeSerializer, 200: ChangeSerializer},
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        tags=["changes"],
    )
    def post(self, request: Request) -> Response:
        given = ChangeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = {"at": timezone.now(), **given.validated_data}
        change, new = record_change(
            team=key_of(request).team, api_key=key_of(request), idempotency_key=_idempotency_key(request), **values
        )
        return Response(ChangeSerializer(change).data, status=201 if new else 200)

    @extend_schema(
        summary="List change markers",
        description=f"Scope `read`. Newest first, at most {LISTED}; by default of the last 30 days.",
        parameters=[WindowSerializer],
        responses=ChangeSerializer(many=True),
        tags=["changes"],
    )
    def get(self, request: Request) -> Response:
        window = WindowSerializer(data=request.query_params)
        window.is_valid(raise_exception=True)
        end = window.validated_data.get("end", timezone.now() + AHEAD)
        start = window.validated_data.get("start", end - WINDOW)
        found = changes_between([key_of(request).team_id], start, end)[:LISTED]
        return Response(ChangeSerializer(found, many=True).data)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > 200 or "\0" in key:
        raise ApiProblem(
            400, "invalid", "Idempotency-Key is too long.", field="Idempotency-Key", fix="Use at most 200 characters."
        )
    return key or None
