from django.apps import AppConfig
from django.core.checks import register

from accounts.checks import check_oidc, check_signup


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self):
        register(check_signup, "security")
        register(check_oidc, "security")
