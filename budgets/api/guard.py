"""POST /api/v1/guard/…: from HTTP to the guard and back.

All three decisions answer 200: a refusal is a right answer to a well-formed question, not a failure of the request.
As 429 it would be repeated by every HTTP library that repeats by itself, and counted as an error by every proxy.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError
from django.http import HttpRequest as DjangoRequest
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException
from rest_framework.request import Request as HttpRequest
from rest_framework.views import APIView

from accounts.api import (
    ApiProblem,
    InvalidKey,
    api_exception_handler,
    body_of,
    database_unavailable,
    error_body,
    key_of,
)
from accounts.models import ApiKey
from budgets.api import guard_schema
from budgets.guard import closing, keys
from budgets.guard.answers import answer
from budgets.guard.away import CODE, RETRY_SECONDS, Away, fallback, is_away, probe
from budgets.guard.decide import KeyGone, decide
from budgets.guard.requests import Extend, Refused, Release, Request, Reserve, Settle, convert, decode, decode_batch

LARGEST_BODY = 1_000_000
CONFLICTS = frozenset({"idempotency_key_reused", "settled_differently", "already_settled", "not_open"})

_encode = msgspec.json.Encoder().encode
_Doing = Callable[[ApiKey, Any], dict[str, Any]]


def _reserve(key: ApiKey, request: Reserve) -> dict[str, Any]:
    return answer(decide(key, request, check=False), key.team_id)


def _check(key: ApiKey, request: Reserve) -> dict[str, Any]:
    return answer(decide(key, request, check=True), key.team_id)


def _settle(key: ApiKey, request: Settle) -> dict[str, Any]:
    return closing.settle(key, request)


def _release(key: ApiKey, request: Release) -> dict[str, Any]:
    return closing.release(key, request)


def _extend(key: ApiKey, request: Extend) -> dict[str, Any]:
    return closing.extend(key, request)


DOING: dict[str, _Doing] = {
    "reserve": _reserve,
    "check": _check,
    "settle": _settle,
    "release": _release,
    "extend": _extend,
}


class GuardView(APIView):
    """What the addresses of the guard share."""

    required_scope = "guard"
    authentication_classes = [keys.GuardKeyAuthentication]
    operation = ""

    def dispatch(self, request, *args, **kwargs):
        """Straight to the operation for a key met before. What DRF does around it costs as much as the decision, and
        is needed only to say what is wrong with a key or a method."""
        key = keys.remembered(request.META.get("HTTP_AUTHORIZATION", ""))
        if key is None or request.method != "POST" or self.required_scope not in key.scopes:
            return super().dispatch(request, *args, **kwargs)
        try:
            return self.answer(request, key)
        except (APIException, RequestDataTooBig) as exc:
            return _problem(exc)

    def post(self, request: HttpRequest) -> HttpResponse:
        return self.answer(request._request, key_of(request))

    def answer(self, request: DjangoRequest, key: ApiKey) -> HttpResponse:
        """One operation. Its problems become the error envelope."""
        body = _body(request)
        try:
            asked = decode(self.operation, body)
            return _respond(_do(self.operation, key, asked))
        except Refused as exc:
            raise ApiProblem(_status(exc), exc.code, exc.message, field=exc.field, fix=exc.fix) from exc
        except KeyGone as exc:
            raise InvalidKey from exc
        except Away:
            return _away(key, asked)
        except DatabaseError as exc:
            if not database_unavailable(exc):
                raise
            return _away(key, asked)


def _do(operation: str, key: ApiKey, asked: Request) -> dict[str, Any]:
    """Raises Refused, KeyGone, Away and Django's database errors."""
    trying, away = probe.enter(), False
    try:
        return DOING[operation](key, asked)
    except KeyGone:
        keys.forget(key)
        raise
    except DatabaseError as exc:
        away = is_away(exc)
        raise
    finally:
        probe.leave(trying=trying, away=away)


def _problem(exc: Exception) -> HttpResponse:
    """The error envelope as DRF's handler makes it."""
    told = api_exception_handler(exc, {})
    if told is None:
        raise exc
    headers = {name: value for name, value in told.headers.items() if name != "Content-Type"}
    return HttpResponse(_encode(told.data), content_type="application/json", status=told.status_code, headers=headers)


def _body(request: DjangoRequest) -> bytes:
    body = request.body
    if len(body) > LARGEST_BODY:
        raise ApiProblem(
            413, "body_too_large", f"The body is larger than {LARGEST_BODY:,} bytes.", fix="Send fewer at once."
        )
    return body


def _status(exc: Refused) -> int:
    return 404 if exc.code == "unknown_reservation" else 409 if exc.code in CONFLICTS else 400


def _respond(content: dict[str, Any]) -> HttpResponse:
    response = HttpResponse(_encode(content), content_type="application/json")
    if content.get("retry_after") is not None:
        response["Retry-After"] = str(content["retry_after"])
    return response


def _unavailable(key: ApiKey, asked: Request) -> dict[str, Any]:
    """The error envelope, and for a call that waits to be made what to do about it."""
    content = error_body(
        CODE,
        "The desk cannot reach its database now. Nothing was reserved or settled.",
        fix="Do what `fallback` says; send settlements again after the seconds in Retry-After.",
    )
    return content | ({"fallback": fallback(key, asked)} if isinstance(asked, Reserve) else {})


def _away(key: ApiKey, asked: Request) -> HttpResponse:
    response = HttpResponse(_encode(_unavailable(key, asked)), content_type="application/json", status=503)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response


class ReserveView(GuardView):
    operation = "reserve"

    @extend_schema(**guard_schema.RESERVE)
    def post(self, request: HttpRequest) -> HttpResponse:
        return super().post(request)


class CheckView(GuardView):
    operation = "check"

    @extend_schema(**guard_schema.CHECK)
    def post(self, request: HttpRequest) -> HttpResponse:
        return super().post(request)


class SettleView(GuardView):
    operation = "settle"

    @extend_schema(**guard_schema.SETTLE)
    def post(self, request: HttpRequest) -> HttpResponse:
        return super().post(request)


class ReleaseView(GuardView):
    operation = "release"

    @extend_schema(**guard_schema.RELEASE)
    def post(self, request: HttpRequest) -> HttpResponse:
        return super().post(request)


class ExtendView(GuardView):
    operation = "extend"

    @extend_schema(**guard_schema.EXTEND)
    def post(self, request: HttpRequest) -> HttpResponse:
        return super().post(request)


class BatchView(GuardView):
    """Several requests in one, each in its own transaction and answered by itself, in order."""

    @extend_schema(**guard_schema.BATCH)
    def post(self, request: HttpRequest) -> HttpResponse:
        return super().post(request)

    def answer(self, request: DjangoRequest, key: ApiKey) -> HttpResponse:
        try:
            asked = decode_batch(_body(request))
        except Refused as exc:
            raise ApiProblem(400, exc.code, exc.message, field=exc.field, fix=exc.fix) from exc
        return _respond({"results": [_one(key, raw) for raw in asked]})


def _one(key: ApiKey, raw: dict[str, Any]) -> dict[str, Any]:
    """The status and answer one request would have had by itself."""
    try:
        operation, asked = convert(raw)
    except Refused as exc:
        return _refusal(exc)
    try:
        return {"status": 200, **_do(operation, key, asked)}
    except Refused as exc:
        return _refusal(exc)
    except KeyGone:
        return {"status": 401, **body_of(InvalidKey())}
    except Away:
        return {"status": 503, **_unavailable(key, asked)}
    except DatabaseError as exc:
        if not database_unavailable(exc):
            raise
        return {"status": 503, **_unavailable(key, asked)}


def _refusal(exc: Refused) -> dict[str, Any]:
    return {"status": _status(exc), **error_body(exc.code, exc.message, exc.field, exc.fix)}
