"""Single sign-on, end to end against a small OpenID provider on localhost."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import pytest

from accounts.access import visible_teams
from accounts.actions import add_member
from accounts.models import User

pytestmark = pytest.mark.django_db


class Provider(ThreadingHTTPServer):
    """Says of everyone who comes what `person` says (OpenID claims)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.person: dict = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self):
        base = self.server.url
        configuration = {
            "issuer": base,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "userinfo_endpoint": f"{base}/userinfo",
            "jwks_uri": f"{base}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }
        self.answer(self.server.person if self.path == "/userinfo" else configuration)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"access_token": "token", "token_type": "Bearer", "expires_in": 60})

    def answer(self, data: dict):
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def provider(settings):
    server = Provider()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    app = {"provider_id": "sso", "name": "SSO", "client_id": "desk", "secret": "s"}
    app["settings"] = {"server_url": server.url}
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
    yield server
    server.shutdown()
    server.server_close()


def come_back(client, provider, **claims):
    """Sign in by the provider as a person with these claims; returns the answer to the way back."""
    provider.person = {"sub": "42", "name": "Nora", **claims}
    leave = client.get("/accounts/oidc/sso/login/")
    asked = parse_qs(urlparse(leave.url).query)
    assert leave.url.startswith(f"{provider.url}/authorize?") and asked["code_challenge_method"] == ["S256"]
    return client.get("/accounts/oidc/sso/login/callback/", {"code": "c", "state": asked["state"][0]})


def signed_in_as(client) -> str | None:
    answer = client.get("/settings/profile/")
    return answer.wsgi_request.user.email if answer.status_code == 200 else None


def test_a_new_person_of_the_company_gets_an_account_that_sees_nothing(client, cast, provider):
    come_back(client, provider, email="nora@desk.example", email_verified=True)
    assert signed_in_as(client) == "nora@desk.example"
    assert not visible_teams(User.objects.get(email="nora@desk.example")).exists()


def test_a_known_person_gets_their_own_account_and_keeps_their_password(client, cast, provider):
    _, password = add_member(email="nora@desk.example", role="viewer", team=cast.support)
    come_back(client, provider, email="nora@desk.example", email_verified=True)
    assert signed_in_as(client) == "nora@desk.example"
    nora = User.objects.get(email="nora@desk.example")
    assert list(visible_teams(nora)) == [cast.support]
    assert nora.check_password(password)


def test_an_address_the_provider_does_not_vouch_for_opens_no_account(client, cast, provider):
    add_member(email="nora@desk.example", role="viewer", team=cast.support)
    for claims in ({"email": "nora@desk.example", "email_verified": False}, {"email": "new@desk.example"}, {}):
        answer = come_back(client, provider, **claims)
        page = client.get(answer.url) if answer.status_code == 302 else answer
        assert "Sign-up is closed" in page.content.decode()
        form = {"email": "chief@desk.example"}
        client.post("/accounts/3rdparty/signup/", form)
        assert signed_in_as(client) is None
    assert not User.objects.filter(email__in=["new@desk.example", "chief@desk.example"]).exists()


def test_a_forged_way_back_is_refused(client, cast, provider):
    answer = client.get("/accounts/oidc/sso/login/callback/", {"code": "c", "state": "forged"})
    assert answer.content.count(b"<h1") == 1
    assert signed_in_as(client) is None
