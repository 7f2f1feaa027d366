"""The table behind the cache (settings.CACHES), so that `migrate` alone makes a desk that can sign people in.

Same columns as `createcachetable` makes, which finds it there and leaves it.
"""

from django.db import migrations

FORWARD = """
CREATE TABLE IF NOT EXISTS desk_cache (
    cache_key varchar(255) NOT NULL PRIMARY KEY, value text NOT NULL, expires timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS desk_cache_expires ON desk_cache (expires);
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_audit_append_only")]

    operations = [migrations.RunSQL(FORWARD, "DROP TABLE IF EXISTS desk_cache")]
