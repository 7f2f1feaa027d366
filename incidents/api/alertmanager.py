"""POST /api/v1/alertmanager: the webhook of Prometheus Alertmanager (payload version 4)."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from django.utils import timezone
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import ApiProblem, key_of
from incidents.actions.alertmanager import Notified, receive
from incidents.rules.alertmanager import Doing
from usage.rules.calendar import is_plausible

MAX_BYTES = 4 * 1024 * 1024
MAX_ALERTS = 2_000
MAX_LABELS = 64
GUIDE = "See the guide Notifications for what is taken."

Short = Annotated[str, msgspec.Meta(max_length=200)]
Label = Annotated[str, msgspec.Meta(max_length=1_000)]
Text = Annotated[str, msgspec.Meta(max_length=20_000)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Labels = Annotated[dict[Short, Label], msgspec.Meta(max_length=MAX_LABELS)]
Annotations = Annotated[dict[Short, Text], msgspec.Meta(max_length=MAX_LABELS)]


class WireAlert(msgspec.Struct, rename="camel"):
    """One alert on the wire; fields that are not used are passed over."""

    status: Annotated[str, msgspec.Meta(pattern="^(firing|resolved)$")]
    labels: Labels
    starts_at: Moment
    fingerprint: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    ends_at: Moment | None = None
    annotations: Annotations = {}
    generator_url: Text = msgspec.field(name="generatorURL", default="")


class Wire(msgspec.Struct, rename="camel"):
    """A notification on the wire."""

    alerts: Annotated[list[WireAlert], msgspec.Meta(max_length=MAX_ALERTS)]
    group_key: Text = ""
    version: Short = "4"
    truncated_alerts: int = 0


_decode = msgspec.json.Decoder(Wire).decode
_ANSWER = inline_serializer(
    "AlertmanagerAnswer", {doing.value: serializers.IntegerField(help_text="Alerts") for doing in Doing}
)


class AlertSerializer(serializers.Serializer):
    """One alert."""

    status = serializers.ChoiceField(["firing", "resolved"])
    labels = serializers.DictField(child=serializers.CharField(), help_text="severity, route, runbook are read")
    annotations = serializers.DictField(child=serializers.CharField(), required=False)
    startsAt = serializers.DateTimeField()
    endsAt = serializers.DateTimeField(required=False, help_text="Counts where the status is resolved")
    generatorURL = serializers.CharField(required=False)
    fingerprint = serializers.CharField()


class NotificationSerializer(serializers.Serializer):
    """What Alertmanager sends; other fields are passed over."""

    version = serializers.CharField(required=False)
    groupKey = serializers.CharField(required=False)
    alerts = AlertSerializer(many=True)


class AlertmanagerView(APIView):
    """Alerts of the key's team."""

    required_scope = "alerts"

    @extend_schema(
        summary="Take alerts of Alertmanager",
        description="Scope `alerts`. The webhook of Prometheus Alertmanager: repeats and any order are harmless. The"
        " answer counts what was done.",
        request=NotificationSerializer,
        responses=_ANSWER,
        tags=["alerts"],
    )
    def post(self, request: Request) -> Response:
        body = request._request.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            fix = "Set max_alerts in the webhook_config of Alertmanager."
            raise ApiProblem(413, "body_too_large", f"The body is larger than {MAX_BYTES} bytes.", fix=fix)
        wire = _read(body)
        found = [_notified(one, number, wire.group_key) for number, one in enumerate(wire.alerts)]
        return Response(receive(team=key_of(request).team, alerts=found, at=timezone.now()))


def _read(body: bytes) -> Wire:
    """Raises ApiProblem that names the field."""
    try:
        return _decode(body.replace(rb"\u0000", rb"\ufffd"))  # PostgreSQL cannot store NUL
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".") or None
        raise ApiProblem(400, "invalid", f"{field or 'The body'}: {message}.", field=field, fix=GUIDE) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiProblem(400, "parse_error", f"The body is not JSON: {error}.", fix=GUIDE) from None


def _notified(one: WireAlert, number: int, group: str) -> Notified:
    _check_year(one.starts_at, f"alerts[{number}].startsAt")
    ends = timezone.now()
    if one.status == "resolved" and one.ends_at:
        _check_year(one.ends_at, f"alerts[{number}].endsAt")
        ends = one.ends_at
    return Notified(
        fingerprint=one.fingerprint,
        firing=one.status == "firing",
        starts_at=one.starts_at.astimezone(UTC),
        ends_at=ends.astimezone(UTC),
        labels=one.labels,
        annotations=one.annotations,
        url=one.generator_url,
        group=group[:200],
    )


def _check_year(moment: datetime, field: str) -> None:
    if not is_plausible(moment):
        raise ApiProblem(400, "invalid", f"{field}: the year must be from 2000 to 2200.", field=field, fix=GUIDE)
