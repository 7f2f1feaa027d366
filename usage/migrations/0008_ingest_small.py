"""A few events in one statement: what `usage.ingest.write` does for a batch in seven, without its round trips.

In the database because a session plans the statements of a function once, where a text sent anew is planned anew.
"""

from django.db import migrations

# The events come as objects by column, so a new column of the table needs no new function.
FUNCTION = """
CREATE FUNCTION usage_ingest_small(
    the_team bigint,
    the_batch bigint,
    book_version bigint,
    series bigint[],
    minutes_kept_from timestamptz,
    events jsonb,
    lock_limit text,
    ledger_key text,
    ledger_digest bytea,
    ledger_answer jsonb
) RETURNS integer LANGUAGE plpgsql AS $$
-- The number of events accepted; -1: prices have changed, -2: a series is gone, -3: the ledger key was used.
DECLARE
    accepted integer;
BEGIN
    PERFORM set_config('lock_timeout', lock_limit, true);
    IF book_version <> coalesce((SELECT version FROM usage_pricebook WHERE id = 1), 0) THEN
        RETURN -1;
    END IF;
    IF cardinality(series) <> (SELECT count(*) FROM usage_series WHERE team_id = the_team AND id = ANY (series)) THEN
        RETURN -2;
    END IF;
    IF ledger_key IS NOT NULL THEN
        INSERT INTO usage_batch_ledger (team_id, key, body_digest, answer)
        VALUES (the_team, ledger_key, ledger_digest, '{}') ON CONFLICT (team_id, key) DO NOTHING;
        IF NOT FOUND THEN
            RETURN -3;
        END IF;
    END IF;
    WITH added AS (
        INSERT INTO usage_event SELECT * FROM jsonb_populate_recordset(NULL::usage_event, events)
        ON CONFLICT (team_id, occurred_at, event_id) DO NOTHING
        RETURNING date_bin('1 minute', occurred_at, TIMESTAMPTZ 'epoch') AS minute
    ), marked AS (
        -- Minutes with the batch that is new in them, or, where minutes are no longer kept, the hour as a whole.
        INSERT INTO usage_rollup_mark (tier, team_id, bucket, batch_id)
        SELECT DISTINCT
            CASE WHEN minute >= minutes_kept_from THEN 0 ELSE 1 END,
            the_team,
            CASE WHEN minute >= minutes_kept_from THEN minute
                 ELSE date_bin('1 hour', minute, TIMESTAMPTZ 'epoch') END,
            CASE WHEN minute >= minutes_kept_from THEN the_batch END
        FROM added
    )
    SELECT count(*) INTO accepted FROM added;
    IF ledger_key IS NOT NULL THEN
        UPDATE usage_batch_ledger SET answer = ledger_answer || jsonb_build_object(
            'accepted', accepted, 'duplicates', (ledger_answer ->> 'duplicates')::integer - accepted
        ) WHERE team_id = the_team AND key = ledger_key;
    END IF;
    RETURN accepted;
END
$$
"""
DROP = """
DROP FUNCTION usage_ingest_small(
    bigint, bigint, bigint, bigint[], timestamptz, jsonb, text, text, bytea, jsonb
)
"""


class Migration(migrations.Migration):
    dependencies = [("usage", "0007_mark_conversations")]
    operations = [migrations.RunSQL(FUNCTION, DROP)]
