"""Incidents of the key's team: read, declared and written to. Private ones are not in reach of any key."""

from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.actions import Author
from accounts.api import ApiProblem, key_of
from accounts.models import ApiKey
from incidents.actions.incidents import declare_incident
from incidents.actions.notes import write_note
from incidents.models import FailureMode, Incident, TimelineEntry
from incidents.queries.slices import SHORTEST, Slice, filters_of
from incidents.queries.timeline import page_of
from incidents.rules.keyset import mark, place
from usage.metrics import QueryError
from usage.rules.calendar import is_plausible

PAGE = 50
MOST_DIMENSIONS, MOST_VALUES = 10, 50
TIMES = ("impact_started_at", "detected_at", "acknowledged_at", "mitigated_at", "resolved_at", "next_update_at")
BEFORE = OpenApiParameter("before", str, description="`older` of the answer before: its next page")


def _plausible(moment: datetime) -> None:
    if not is_plausible(moment) or moment > timezone.now():
        raise serializers.ValidationError("It cannot lie in the future: send when users first felt it.")


class IncidentSerializer(serializers.ModelSerializer):
    """An incident. `number` names it on pages; times in UTC, null where it has not come to that."""

    number = serializers.CharField(read_only=True)
    scope = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(max_length=200), max_length=MOST_VALUES),
        required=False,
        help_text='Dimension → values: the slice it is about, e.g. {"provider": ["openai"]}',
    )
    failure_mode = serializers.ChoiceField(choices=FailureMode.choices, required=False, allow_blank=True)
    severity = serializers.ChoiceField(choices=[1, 2, 3, 4], help_text="1 is the worst")
    impact_started_at = serializers.DateTimeField(required=False, validators=[_plausible], help_text="Default: now")
    summary = serializers.CharField(max_length=5000, required=False, allow_blank=True)

    class Meta:
        model = Incident
        fields = ["id", "number", "title", "severity", "state", "failure_mode", "scope", "summary", "is_drill", *TIMES]
        read_only_fields = ["state", "is_drill", *(name for name in TIMES if name != "impact_started_at")]

    def validate_scope(self, scope: dict[str, list[str]]) -> dict[str, list[str]]:
        if len(scope) > MOST_DIMENSIONS:
            raise serializers.ValidationError(f"At most {MOST_DIMENSIONS} dimensions.")
        now = timezone.now()
        try:
            Slice(None, now - SHORTEST, now, filters_of(scope)).asked(("requests",))
        except QueryError as error:
            raise serializers.ValidationError(str(error)) from error
        return scope


class EntrySerializer(serializers.ModelSerializer):
    """An entry of a timeline. Keys write notes; all other kinds the desk writes itself."""

    text = serializers.CharField(max_length=5000)
    by = serializers.SerializerMethodField()
    url = serializers.URLField(required=False, allow_blank=True, max_length=500)
    struck_out = serializers.SerializerMethodField()

    class Meta:
        model = TimelineEntry
        fields = ["id", "at", "kind", "text", "by", "url", "struck_out"]
        read_only_fields = ["at", "kind"]

    def get_by(self, entry: TimelineEntry) -> str:
        return entry.by

    def get_struck_out(self, entry: TimelineEntry) -> bool:
        return entry.struck_at is not None


class IncidentPageSerializer(serializers.Serializer):
    incidents = IncidentSerializer(many=True)
    older = serializers.CharField(allow_null=True)


class EntryPageSerializer(serializers.Serializer):
    entries = EntrySerializer(many=True)
    older = serializers.CharField(allow_null=True)


def _of_key(request: Request) -> QuerySet[Incident]:
    return Incident.objects.filter(team=key_of(request).team, is_private=False)


def _author(key: ApiKey) -> Author:
    return Author(label=f"key {key.name} ({key.prefix}…)")


class _ReadOrWrite(APIView):
    """Reading needs the scope `read`, writing `incidents`."""

    def get_permissions(self):
        self.required_scope = "read" if self.request.method == "GET" else "incidents"
        return super().get_permissions()


class IncidentsView(_ReadOrWrite):
    """Incidents of the key's team."""

    @extend_schema(
        summary="List incidents",
        description=f"Scope `read`. The last detected first, {PAGE} at a time. Private ones are never listed.",
        parameters=[OpenApiParameter("state", str, enum=["open", "over"]), BEFORE],
        responses=IncidentPageSerializer,
        tags=["incidents"],
    )
    def get(self, request: Request) -> Response:
        found, params = _of_key(request).order_by("-detected_at", "-id"), request.query_params
        if state := params.get("state"):
            if state not in ("open", "over"):
                raise ApiProblem(400, "invalid", "There is no such state.", field="state", fix="Send open or over.")
            found = found.filter(resolved_at__isnull=state == "open")
        if (after := _place(params.get("before", ""))) is not None:
            found = found.filter(Q(detected_at__lt=after[0]) | Q(detected_at=after[0], pk__lt=after[1]))
        rows = list(found[: PAGE + 1])
        older = mark(rows[PAGE - 1].detected_at, rows[PAGE - 1].pk) if len(rows) > PAGE else None
        return Response({"incidents": IncidentSerializer(rows[:PAGE], many=True).data, "older": older})

    @extend_schema(
        summary="Declare an incident",
        description="Scope `incidents`. With the header `Idempotency-Key`, a retry answers 200 with the incident of"
        " that key while it is open.",
        request=IncidentSerializer,
        responses={201: IncidentSerializer, 200: IncidentSerializer},
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        tags=["incidents"],
    )
    def post(self, request: Request) -> Response:
        given, key, now = IncidentSerializer(data=request.data), key_of(request), timezone.now()
        given.is_valid(raise_exception=True)
        source = _source(request, key)
        known = source and Incident.objects.filter(source_key=source, source_kind="api", resolved_at=None).exists()
        incident = declare_incident(
            author=_author(key), team=key.team, at=now, source_kind="api", source_key=source, **given.validated_data
        )
        if incident.is_private:  # made so since the first call
            fix = "Send another Idempotency-Key for another incident."
            raise ApiProblem(409, "conflict", "The incident of this key is not in reach of programs.", fix=fix)
        return Response(IncidentSerializer(incident).data, status=200 if known else 201)


class IncidentView(_ReadOrWrite):
    """One incident."""

    @extend_schema(
        summary="Read an incident", description="Scope `read`.", responses=IncidentSerializer, tags=["incidents"]
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(IncidentSerializer(get_object_or_404(_of_key(request), pk=pk)).data)


class EntriesView(_ReadOrWrite):
    """The timeline of an incident."""

    @extend_schema(
        summary="Read a timeline",
        description="Scope `read`. The last entry first, 50 at a time.",
        parameters=[BEFORE],
        responses=EntryPageSerializer,
        tags=["incidents"],
    )
    def get(self, request: Request, pk: int) -> Response:
        incident, before = get_object_or_404(_of_key(request), pk=pk), request.query_params.get("before", "")
        _place(before)
        page = page_of(incident, before)
        return Response({"entries": EntrySerializer(page.entries, many=True).data, "older": page.older or None})

    @extend_schema(
        summary="Add to a timeline",
        description="Scope `incidents`. A note, e.g. what a deploy or a job did.",
        request=EntrySerializer,
        responses={201: EntrySerializer},
        tags=["incidents"],
    )
    def post(self, request: Request, pk: int) -> Response:
        incident, given = get_object_or_404(_of_key(request), pk=pk), EntrySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        data: dict[str, Any] = given.validated_data
        facts = {"text": data["text"], "url": data.get("url", ""), "at": timezone.now()}
        entry = write_note(author=_author(key_of(request)), incident=incident, **facts)
        return Response(EntrySerializer(entry).data, status=201)


def _place(text: str) -> tuple[datetime, int] | None:
    found = place(text)
    if text and found is None:
        raise ApiProblem(
            400, "invalid", "before is no place in the list.", field="before", fix="Send `older` unchanged."
        )
    return found


def _source(request: Request, key: ApiKey) -> str:
    """The Idempotency-Key within the team; "" without one."""
    text = request.headers.get("Idempotency-Key", "").strip()
    if len(text) > 150 or "\0" in text:
        fix = "Use at most 150 characters."
        raise ApiProblem(400, "invalid", "Idempotency-Key is too long.", field="Idempotency-Key", fix=fix)
    return f"{key.team_id}:{text}" if text else ""
