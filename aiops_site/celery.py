"""The Celery application: three queues, one beat schedule (settings.CELERY_BEAT_SCHEDULE).

The queue is only a nudge: the truth is in Postgres, so a lost or doubled task changes nothing.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiops_site.settings")

app = Celery("aiops_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
