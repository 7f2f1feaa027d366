"""Events that name a reservation of the guard: their field, their measures, and the inbox the guard settles from."""

from importlib import import_module

from django.db import migrations

MEASURES = "ADD COLUMN guarded_cost_usd numeric, ADD COLUMN guarded_tokens bigint, ADD COLUMN guarded_events bigint"
NAMES = ("guarded_cost_usd", "guarded_tokens", "guarded_events")
TABLES = [f"usage_{family}{tier}" for family in ("", "tenant_") for tier in ("minute", "hour", "day")]

# Keys of events, written with them and deleted by whoever books them. No foreign keys: it is written at ingest.
INBOX = """
CREATE TABLE usage_reservation_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    team_id bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id text COLLATE "C" NOT NULL
)
"""

_small = import_module("usage.migrations.0008_ingest_small")
ADDED = "RETURNING date_bin('1 minute', occurred_at, TIMESTAMPTZ 'epoch') AS minute\n    ), marked AS ("
NAMED = """RETURNING date_bin('1 minute', occurred_at, TIMESTAMPTZ 'epoch') AS minute,
            occurred_at, event_id, reservation_id
    ), named AS (
        INSERT INTO usage_reservation_event (team_id, occurred_at, event_id)
        SELECT the_team, occurred_at, event_id FROM added WHERE reservation_id IS NOT NULL
    ), marked AS ("""
FUNCTION = _small.FUNCTION.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
UNNAMED = FUNCTION
FUNCTION = FUNCTION.replace(ADDED, NAMED)
if FUNCTION == UNNAMED:
    raise AssertionError("the function of 0008 is not what this migration extends")

FORWARD = ['ALTER TABLE usage_event ADD COLUMN reservation_id text COLLATE "C"', INBOX, FUNCTION]
FORWARD += [f"ALTER TABLE {table} {MEASURES}" for table in TABLES]
BACK = [UNNAMED, "DROP TABLE usage_reservation_event", "ALTER TABLE usage_event DROP COLUMN reservation_id"]
BACK += [f"ALTER TABLE {table} {', '.join(f'DROP COLUMN {name}' for name in NAMES)}" for table in TABLES]


class Migration(migrations.Migration):
    dependencies = [("usage", "0010_roomier_blooms")]
    operations = [migrations.RunSQL(FORWARD, BACK)]
