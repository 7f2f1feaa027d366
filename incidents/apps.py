from django.apps import AppConfig
from django.apps import apps as all_apps
from django.db.models.signals import post_migrate


def install(apps=all_apps, **_options) -> None:
    """Bring what the desk ships, once this room's tables are there (a migration may stop half way)."""
    from incidents.actions.shipped import install_runbooks

    try:
        apps.get_model("incidents", "RunbookVersion")
    except LookupError:
        return
    install_runbooks()


class IncidentsConfig(AppConfig):
    name = "incidents"

    def ready(self) -> None:
        post_migrate.connect(install, sender=self)
