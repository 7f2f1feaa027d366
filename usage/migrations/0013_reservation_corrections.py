"""What re-pricing changed of events that name a reservation, for the guard to book."""

from django.db import migrations

# Written in the transaction that changes the events, deleted by whoever books them; amounts are differences.
CORRECTIONS = """
CREATE TABLE usage_reservation_correction (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    reservation_id text COLLATE "C" NOT NULL,
    usd numeric NOT NULL,
    unknown smallint NOT NULL
)
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0012_attribution")]
    operations = [migrations.RunSQL(CORRECTIONS, "DROP TABLE usage_reservation_correction")]
