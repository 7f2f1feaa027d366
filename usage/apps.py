from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils import timezone

from usage import partitions


def make_partitions(**_kwargs) -> None:
    """A migrated database can take events at once."""
    partitions.ensure(timezone.now())


class UsageConfig(AppConfig):
    name = "usage"

    def ready(self) -> None:
        post_migrate.connect(make_partitions, sender=self)
