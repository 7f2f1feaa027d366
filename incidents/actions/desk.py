"""What the desk writes down about itself."""

from datetime import datetime

from incidents.models import QueueBeat


def beat(queue: str, at: datetime) -> None:
    """A worker of the queue took a task at `at`."""
    QueueBeat.objects.update_or_create(queue=queue, defaults={"taken_at": at})
