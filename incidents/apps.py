from django.apps import AppConfig
from django.apps import apps as all_apps
from django.db.models.signals import post_migrate


def install(apps=all_apps, **_options) -> None:
    """Bring what the desk ships, once this room's tables are there (a migration may stop half way)."""
    from incidents.actions.shipped import install_runbooks, install_slos
    from incidents.actions.shipped_rules import install_rules

    if _columns(apps) == _columns(all_apps):
        install_runbooks()
        install_slos()
        install_rules()


def _columns(apps) -> set[tuple[str, str]]:
    models = [model for model in apps.get_models() if model._meta.app_label == "incidents"]
    return {(model.__name__, field.column) for model in models for field in model._meta.local_concrete_fields}


class IncidentsConfig(AppConfig):
    name = "incidents"

    def ready(self) -> None:
        post_migrate.connect(install, sender=self)
