"""POST /api/v1/events: from HTTP to `record_events` and back."""

from email.message import Message
from functools import lru_cache

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api import ApiProblem, key_of
from usage.actions import Outcome, record_events
from usage.api.events_schema import EVENTS_SCHEMA
from usage.ingest.body import Budget, Overloaded, Stream, read_body
from usage.ingest.problems import BodyRefused

JSON_TYPES = frozenset({"application/json", ""})
LINE_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
OVERLOAD_RETRY_SECONDS = 1

# Four bodies of the largest size, or very many of a usual one, per process.
budget = Budget(limit=4 * settings.INGEST_MAX_BYTES)


class EventsView(APIView):
    """Takes usage events."""

    required_scope = "ingest"

    def initial(self, request: Request, *args, **kwargs) -> None:
        """Who calls, and whether they may. No negotiation, versions or throttles: there is one answer, in JSON."""
        self.perform_authentication(request)
        self.check_permissions(request)

    @extend_schema(**EVENTS_SCHEMA)
    def post(self, request: Request) -> HttpResponse:
        try:
            outcome = _record(request)
        except BodyRefused as exc:
            raise ApiProblem(exc.status, exc.code, exc.message, field=exc.field, fix=exc.fix) from exc
        except Overloaded as exc:
            raise _overloaded() from exc
        return _answer(outcome)


def _record(request: Request) -> Outcome:
    lines = _is_lines(request.headers.get("Content-Type", ""))
    key = key_of(request)
    with budget.share() as take:
        stream, length = _source(request)
        body = read_body(
            stream,
            length=length,
            encoding=request.headers.get("Content-Encoding", ""),
            limit=settings.INGEST_MAX_BYTES,
            take=take,
        )
        return record_events(
            team=key.team,
            environment=key.environment,
            api_key_id=key.pk,
            events=body,
            lines=lines,
            idempotency_key=request.headers.get("Idempotency-Key", ""),
        )


@lru_cache(maxsize=64)
def _is_lines(content_type: str) -> bool:
    """Whether the client declares NDJSON. Raises BodyRefused (415) for a type or charset that is not taken."""
    message = Message()
    message["Content-Type"] = content_type
    kind = content_type and message.get_content_type()
    charset = message.get_content_charset("utf-8")
    if kind not in JSON_TYPES | LINE_TYPES or charset not in ("utf-8", "utf8", "us-ascii"):
        raise BodyRefused(
            415,
            "unsupported_media_type",
            f"Content-Type '{content_type[:100]}' is not supported.",
            "Send 'Content-Type: application/json' or 'application/x-ndjson', in UTF-8.",
            "Content-Type",
        )
    return kind in LINE_TYPES


def _source(request: Request) -> tuple[Stream, int | None]:
    """Where to read the body, and its length (None: chunked, which Django itself would read as empty)."""
    environ = request.META
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower() and environ.get("wsgi.input_terminated"):
        return Chunks(environ["wsgi.input"]), None
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError as exc:
        raise BodyRefused(400, "bad_length", "Content-Length is not a number.", "Send the length in bytes.") from exc
    return request._request, length


class Chunks:
    """A chunked body as the web server reads it."""

    def __init__(self, source: Stream) -> None:
        self.source = source

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises BodyRefused (400) where the chunks are broken or the client is gone."""
        try:
            return self.source.read(size)
        except Exception as exc:  # WSGI names no error for this, so every server has its own
            raise BodyRefused(
                400, "body_cut_off", "The chunks of the body cannot be read to their end.", "Send it again.", None
            ) from exc


def _overloaded() -> ApiProblem:
    return ApiProblem(
        429,
        "overloaded",
        "This process holds as many request bodies as it may. Nothing of this request was kept.",
        fix="Send the same request again after the seconds in Retry-After, and fewer at once.",
        retry_after=OVERLOAD_RETRY_SECONDS,
    )


def _answer(outcome: Outcome) -> HttpResponse:
    taken = outcome.accepted + outcome.duplicates
    response = HttpResponse(outcome.answer(), content_type="application/json", status=202 if taken else 400)
    if outcome.replayed:
        response["Idempotency-Replayed"] = "true"
    return response
