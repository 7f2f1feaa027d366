"""Signing in: by e-mail and password, throttled, closed to strangers, and by OpenID Connect when configured."""

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret, hotp_value, yield_hotp_counters_from_time
from django.conf import settings
from django.core.cache import cache
from django.core.checks import run_checks
from django.urls import reverse

from accounts.models import User
from tests.cast import make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def fresh_counters(db):
    cache.clear()


def sign_in(client, email="vera@desk.example", password=PASSWORD):
    return client.post("/accounts/login/", {"login": email, "password": password})


def test_a_person_signs_in_by_e_mail_whatever_its_case(client):
    make_user("vera", password=PASSWORD)
    assert sign_in(client, "Vera@Desk.Example").status_code == 302
    assert client.get("/settings/profile/").status_code == 200


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(client):
    make_user("vera", password=PASSWORD)
    wrong = sign_in(client, password="wrong")
    unknown = sign_in(client, "nobody@desk.example")
    assert wrong.context["form"].errors == unknown.context["form"].errors
    assert "Not signed in" in wrong.content.decode()


def test_an_inactive_person_cannot_sign_in(client):
    user = make_user("vera", password=PASSWORD)
    User.objects.filter(pk=user.pk).update(is_active=False)
    sign_in(client)
    assert client.get("/settings/profile/").status_code == 302


def test_guessing_is_stopped_and_the_right_password_waits_too(client):
    make_user("vera", password=PASSWORD)
    for _ in range(5):
        sign_in(client, password="wrong")
    answer = sign_in(client)
    assert answer.status_code == 200
    assert "Too many failed login attempts" in answer.content.decode()


def test_the_throttle_counts_in_the_database_so_that_all_processes_share_it():
    assert settings.CACHES["default"]["BACKEND"].endswith("DatabaseCache")
    cache.set("shared", 1)
    assert cache.get("shared") == 1


def test_too_many_requests_get_a_page_of_ours(client):
    answers = [sign_in(client, f"someone{n}@desk.example", "wrong") for n in range(31)]
    assert answers[-1].status_code == 429
    assert "Too many attempts" in answers[-1].content.decode()


def test_sign_up_is_closed_by_default(client):
    answer = client.post("/accounts/signup/", {"email": "new@x.example", "password1": PASSWORD, "password2": PASSWORD})
    assert "Sign-up is closed" in answer.content.decode()
    assert not User.objects.filter(email="new@x.example").exists()
    assert "Make an account" not in client.get("/accounts/login/").content.decode()


def test_sign_up_can_be_opened(client, settings):
    settings.SIGNUP_OPEN = True
    assert client.get("/accounts/signup/").context["form"].fields.keys() >= {"email", "password1"}
    assert "Make an account" in client.get("/accounts/login/").content.decode()


def test_open_sign_up_without_mail_is_explained_before_the_start(settings):
    settings.SIGNUP_OPEN, settings.EMAIL_CONFIGURED = True, False
    assert [problem.id for problem in run_checks(tags=["security"]) if problem.id.startswith("accounts")] == [
        "accounts.E001"
    ]


def test_password_reset_without_mail_says_what_to_do(client):
    page = client.get("/accounts/password/reset/").content.decode()
    assert "changepassword" in page


def test_nobody_can_claim_another_address(client):
    client.force_login(make_user("vera"))
    answer = client.post("/accounts/email/", {"email": "ceo@desk.example", "action_add": ""})
    assert answer.url == "/settings/profile/"


def test_a_weak_new_password_is_rejected(client):
    make_user("vera", password=PASSWORD)
    sign_in(client)
    form = {"oldpassword": PASSWORD, "password1": "short", "password2": "short"}
    assert "at least 12 characters" in client.post("/accounts/password/change/", form).content.decode()


def test_sign_out_asks_then_signs_out(client):
    client.force_login(make_user("vera"))
    assert client.get("/accounts/logout/").content.count(b"<h1") == 1
    client.post("/accounts/logout/")
    assert client.get("/settings/profile/").status_code == 302


def test_with_a_second_factor_the_password_alone_is_not_enough(client):
    user = make_user("vera", password=PASSWORD)
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    assert sign_in(client).url == "/accounts/2fa/authenticate/"
    assert client.get("/settings/profile/").status_code == 302
    code = hotp_value(secret, next(iter(yield_hotp_counters_from_time())))
    client.post("/accounts/2fa/authenticate/", {"code": f"{code:06}"})
    assert client.get("/settings/profile/").status_code == 200


def test_single_sign_on_is_offered_when_it_is_configured(client, settings):
    assert "Sign in with" not in client.get("/accounts/login/").content.decode()
    app = {
        "provider_id": "sso",
        "name": "Example SSO",
        "client_id": "desk",
        "secret": "s",
        "settings": {"server_url": "https://id.example"},
    }
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [app]}}
    page = client.get("/accounts/login/").content.decode()
    assert "Sign in with Example SSO" in page
    assert "/accounts/oidc/sso/login/" in page


def test_half_a_single_sign_on_is_explained_before_the_start(settings):
    app = {"provider_id": "sso", "client_id": "desk", "secret": "", "settings": {"server_url": "http://id.example"}}
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [app]}}
    hints = [problem.hint for problem in run_checks(tags=["security"]) if problem.id == "accounts.E002"]
    assert "OIDC_CLIENT_SECRET and OIDC_SERVER_URL" in hints[0]


def test_changing_the_second_factor_asks_for_the_password_again(client):
    make_user("vera", password=PASSWORD)
    sign_in(client)
    answer = client.get("/accounts/2fa/totp/activate/", follow=True)
    assert answer.redirect_chain[0][0].startswith("/accounts/reauthenticate/")
    assert answer.content.count(b"<h1") == 1


ENTRANCE = ["account_login", "account_signup", "account_reset_password", "account_inactive"]
SIGNED_IN = ["account_change_password", "account_logout", "mfa_index", "mfa_activate_totp", "socialaccount_connections"]


@pytest.mark.parametrize("name", ENTRANCE)
def test_entrance_pages_have_one_heading_in_our_frame(client, name):
    page = client.get(reverse(name)).content
    assert page.count(b"<h1") == 1 and b"plain-card" in page


@pytest.mark.parametrize("name", SIGNED_IN)
def test_account_pages_have_one_heading_in_our_frame(client, name):
    make_user("vera", password=PASSWORD)
    sign_in(client)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get(reverse(name)).content
    assert page.count(b"<h1") == 1 and b'class="shell"' in page
