"""WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiops_site.settings")
application = get_wsgi_application()
# Import every view now: before gunicorn forks, so that workers share it and no first request waits seconds for it.
get_resolver().url_patterns  # noqa: B018 - a cached property whose reading is the work
