"""Who is calling the API, and the one shape of every error it answers with.

{"error": {"code": "wrong_scope", "message": "…what is wrong…", "field": null, "fix": "…what to do…"}}
"""

import difflib
import logging
import re
from functools import cache
from typing import cast

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.models import Model
from django.http import Http404, JsonResponse
from django.urls import URLResolver, get_resolver, is_valid_path
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actions import touch_api_key
from accounts.models import ApiKey, Team
from accounts.rules import secret_matches, split_key

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
KEY_FIX = "Send the header 'Authorization: Bearer aod_…'. Keys are made under Settings → Teams."
# SQLSTATE: read-only transaction, disk full, out of memory, configuration limit exceeded.
UNAVAILABLE_STATES = {"25006", "53100", "53200", "53400"}
FIXES = {
    "not_authenticated": KEY_FIX,
    "invalid_key": KEY_FIX,
    "parse_error": "Check the body with a JSON validator; it must be UTF-8.",
    "unsupported_media_type": "See the API documentation for the accepted Content-Type.",
    "not_found": "Check the address and that the key belongs to the right team.",
    "throttled": "Wait for the seconds in Retry-After, then send again.",
}


class InvalidKey(exceptions.AuthenticationFailed):
    default_detail = "The API key is unknown or revoked."
    default_code = "invalid_key"


class ApiProblem(exceptions.APIException):
    """An error an endpoint raises on purpose, with all parts of the envelope.

    `status` is the HTTP status; `retry_after` (seconds) becomes a header.
    """

    def __init__(self, status: int, code: str, message: str, *, field=None, fix="", retry_after: int | None = None):
        super().__init__(detail=message, code=code)
        self.status_code, self.field, self.fix, self.wait = status, field, fix, retry_after


def _columns(model: type[Model]) -> list[str]:
    return [str(field.column) for field in model._meta.concrete_fields]


def _qualified(model: type[Model]) -> str:
    return ", ".join(f"{model._meta.db_table}.{column}" for column in _columns(model))


# Written out: the ORM builds its statement anew for every request, which was half of the time of a single event.
_FIND = (
    f"SELECT {_qualified(ApiKey)}, {_qualified(Team)} FROM accounts_apikey"
    " JOIN accounts_team ON accounts_team.id = accounts_apikey.team_id"
    " WHERE accounts_apikey.prefix = %s AND accounts_apikey.revoked_at IS NULL"
)


def find_key(prefix: str) -> ApiKey | None:
    """The key with that prefix and its team loaded, None if there is none or it was revoked."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [prefix])
        row = cursor.fetchone()
    if row is None:
        return None
    names = _columns(ApiKey)
    key = ApiKey.from_db(connection.alias, names, row[: len(names)])
    key.team = Team.from_db(connection.alias, _columns(Team), row[len(names) :])
    return key


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer aod_<prefix>_<secret>` → `request.auth` is the ApiKey with its team.

    One SQL query and no cache, so a revoked key stops at once. With the database down the error goes up
    and `api_exception_handler` answers 503.
    """

    def authenticate(self, request):
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        parts = split_key(text.strip())
        if parts is None:
            raise InvalidKey("This is not an API key of this desk.")
        prefix, secret = parts
        key = find_key(prefix)
        if key is None or not secret_matches(secret, bytes(key.digest)):
            raise InvalidKey
        note_use(key)
        return None, key

    def authenticate_header(self, request):
        return 'Bearer realm="api"'


def note_use(key: ApiKey) -> None:
    """Record the use. Reading must go on when the database can only be read, so a failure is logged, not raised."""
    try:
        touch_api_key(key)
    except DatabaseError as exc:
        log.warning("last use of key %s not recorded: %s", key.prefix, exc)


class HasScope(BasePermission):
    """Allows a key that holds the view's `required_scope`. A view that names none is closed."""

    def has_permission(self, request, view) -> bool:
        if request.auth is None:
            return False
        wanted = getattr(view, "required_scope", None)
        if wanted in request.auth.scopes:
            return True
        held = ", ".join(request.auth.scopes)
        raise ApiProblem(
            403,
            "wrong_scope",
            f"This key may not do this: it needs the scope '{wanted}' and has {held}.",
            fix=f"Make a key with the scope '{wanted}' under Settings → Teams.",
        )


class BearerScheme(OpenApiAuthenticationExtension):
    """Tells OpenAPI how to authenticate, so that the try-it page has a field for the key."""

    target_class = "accounts.api.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema):
        return {"type": "http", "scheme": "bearer", "description": "An API key of a team: aod_…"}


def error_body(code: str, message: str, field: str | None = None, fix: str = "") -> dict:
    return {"error": {"code": code, "message": message, "field": field, "fix": fix or FIXES.get(code, "")}}


def database_unavailable(exc: BaseException) -> bool:
    """Whether the database is away, full or read-only, so that the same request may succeed later."""
    if isinstance(exc, OperationalError | InterfaceError):
        return True
    return isinstance(exc, DatabaseError) and getattr(exc.__cause__, "sqlstate", None) in UNAVAILABLE_STATES


def _first_detail(detail, path: str = "") -> tuple[str | None, str]:
    """(field path, message) of the first problem in DRF's nested ValidationError detail."""
    if isinstance(detail, dict):
        name, inner = next(iter(detail.items()))
        step = path if name == "non_field_errors" else f"{path}.{name}".lstrip(".")
        return _first_detail(inner, step)
    if isinstance(detail, list):
        index, inner = next((i, one) for i, one in enumerate(detail) if one)
        return _first_detail(inner, f"{path}[{index}]" if isinstance(inner, dict) else path)
    return path or None, str(detail)


def only_parameters(request: Request, *names: str) -> None:
    """Raises ApiProblem where the query string has a parameter of another name: what is misspelt must not widen."""
    for name in request.query_params:
        if name not in names:
            known = f"Known: {', '.join(names)}." if names else "This address takes none."
            raise ApiProblem(400, "invalid", f"There is no parameter {name[:40]!r}.", field=name[:40], fix=known)


def key_of(request: Request) -> ApiKey:
    """The key of a request that `ApiKeyAuthentication` let in."""
    return cast(ApiKey, request.auth)


def body_of(exc: exceptions.APIException) -> dict:
    """The error envelope of an API exception."""
    if isinstance(exc, exceptions.ValidationError):
        field, message = _first_detail(exc.detail)
        return error_body("invalid", message, field, "Correct the field and send again.")
    code = exc.get_codes()
    return error_body(str(code), str(exc.detail), getattr(exc, "field", None), getattr(exc, "fix", ""))


def _headers_of(exc: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(wait) + (wait % 1 > 0))
    return headers


def database_problem() -> ApiProblem:
    """What a caller is told while `database_unavailable`."""
    return ApiProblem(
        503,
        "database_unavailable",
        "The desk cannot reach or write its database now. Nothing of this request was kept.",
        fix="Send the same request again after the seconds in Retry-After.",
        retry_after=RETRY_AFTER_SECONDS,
    )


def _as_api_exception(exc: Exception) -> exceptions.APIException | None:
    """What DRF understands, from what Django and the database raise; None for a bug of ours."""
    if database_unavailable(exc):
        log.error("database unavailable: %s", exc)
        return database_problem()
    if isinstance(exc, RecursionError):
        return exceptions.ParseError("The body is nested too deeply.")
    if isinstance(exc, RequestDataTooBig):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return ApiProblem(413, "body_too_large", f"The body is larger than {limit} bytes.", fix="Send less at once.")
    if isinstance(exc, Http404):
        return exceptions.NotFound(str(exc) or None)
    if isinstance(exc, PermissionDenied):
        return exceptions.PermissionDenied(str(exc) or None)
    return exc if isinstance(exc, exceptions.APIException) else None


def api_exception_handler(exc: Exception, context) -> Response | None:
    """DRF's EXCEPTION_HANDLER: every expected failure as the envelope above; None lets a bug become a 500."""
    known = _as_api_exception(exc)
    if known is None:
        return None
    body = body_of(known)
    if isinstance(known, exceptions.MethodNotAllowed):
        body["error"]["fix"] = f"This address takes {', '.join(context['view'].allowed_methods)}."
    return Response(body, status=known.status_code, headers=_headers_of(known))


def no_such_address(path: str) -> JsonResponse:
    """404 for an address below /api/ that the desk does not have; names the one that was probably meant."""
    meant = _meant_address(path)
    fix = f"Send it to {meant}." if meant else "See /docs/api/ for the addresses there are."
    return JsonResponse(error_body("not_found", f"There is no address {path[:200]}.", fix=fix), status=404)


def _meant_address(path: str) -> str | None:
    """`path` without the slashes it has too many of, else the address that looks most like it."""
    plain = re.sub("/+", "/", path).rstrip("/")
    if is_valid_path(plain):
        return plain
    return next(iter(difflib.get_close_matches(plain, api_addresses(), n=1, cutoff=0.75)), None)


@cache
def api_addresses() -> list[str]:
    """Every address below /api/ that takes no argument."""

    def below(prefix: str, patterns):
        for entry in patterns:
            if isinstance(entry, URLResolver):
                yield from below(prefix + str(entry.pattern), entry.url_patterns)
            elif not entry.pattern.converters:
                yield prefix + str(entry.pattern)

    return [address for address in below("/", get_resolver().url_patterns) if address.startswith("/api/")]
