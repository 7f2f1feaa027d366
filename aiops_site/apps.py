from django.apps import AppConfig
from django.core.checks import register

from aiops_site import checks


class SiteConfig(AppConfig):
    name = "aiops_site"

    def ready(self) -> None:
        for check in checks.ALL:
            register(check)
