"""The desk's settings for tests: two differences, both for speed."""

from aiops_site.settings import *  # noqa: F403
from aiops_site.settings import STORAGES as DESK_STORAGES

# Hashing is slow on purpose; tests sign in too often for that.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Names without a hash need no collectstatic first; the `desk` fixture runs with the real ones.
STORAGES = DESK_STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
