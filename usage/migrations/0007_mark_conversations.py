"""Roll-ups of before know nothing of conversations: every minute with an event that names one is recomputed.

Apart from the new columns, so that reading all events here does not hold their locks.
"""

from django.db import migrations

MARK = """
INSERT INTO usage_rollup_mark (tier, team_id, bucket)
SELECT DISTINCT 0, team_id, date_trunc('minute', occurred_at, 'UTC') FROM usage_event WHERE conversation_id IS NOT NULL
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0006_conversations")]
    operations = [migrations.RunSQL(MARK, migrations.RunSQL.noop)]
