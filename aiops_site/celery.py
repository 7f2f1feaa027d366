"""The Celery application: three queues, one beat schedule (settings.CELERY_BEAT_SCHEDULE).

The queue is only a nudge: the truth is in Postgres, so a lost or doubled task changes nothing.
"""

import os

from celery import Celery, Task
from django.db import InterfaceError, OperationalError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiops_site.settings")


class DeskTask(Task):
    """A database that is away or full is a line in the log, no traceback: the next run does the work."""

    throws = (OperationalError, InterfaceError)


app = Celery("aiops_site", task_cls=DeskTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
