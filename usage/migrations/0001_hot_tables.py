"""The hot tables, in SQL: partitions, composite keys and BRIN indexes are beyond the schema editor.

Written out rather than generated from usage.measures, because a migration must not change when the code does.
"""

from django.db import migrations

MEASURES = """
    events bigint NOT NULL,
    latency_ms bigint,
    input_tokens bigint,
    output_tokens bigint,
    cached_input_tokens bigint,
    cache_write_tokens bigint,
    reasoning_tokens bigint,
    context_tokens bigint,
    cost_usd numeric,
    priced bigint,
    unpriced bigint,
    unmetered bigint,
    reported_cost_usd numeric,
    reported bigint,
    retry_count bigint,
    retried bigint,
    refused bigint,
    refused_known bigint,
    policy_hits bigint,
    policy_known bigint,
    schema_valid bigint,
    schema_known bigint,
    cache_hits bigint,
    cache_known bigint,
    feedback_up bigint,
    feedback_down bigint,
    cited bigint,
    citations_known bigint,
    empty_retrievals bigint,
    documents_known bigint,
    low_scores bigint,
    scores_known bigint,
    latency_histogram bytea,
    ttft_histogram bytea,
    queue_histogram bytea
"""

EVENTS = """
CREATE SEQUENCE usage_series_id_seq;
CREATE TABLE usage_series (
    team_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT nextval('usage_series_id_seq'),
    key uuid NOT NULL,
    narrow_id bigint NOT NULL,
    entry boolean NOT NULL,
    environment text COLLATE "C" NOT NULL,
    service text COLLATE "C" NOT NULL,
    feature text COLLATE "C" NOT NULL,
    endpoint text COLLATE "C" NOT NULL,
    operation text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    region text COLLATE "C" NOT NULL,
    release text COLLATE "C" NOT NULL,
    prompt_version text COLLATE "C" NOT NULL,
    experiment text COLLATE "C" NOT NULL,
    variant text COLLATE "C" NOT NULL,
    cost_center text COLLATE "C" NOT NULL,
    initiator text COLLATE "C" NOT NULL,
    tool_name text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    error_type text COLLATE "C" NOT NULL,
    fallback_from text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team_id, id),
    CONSTRAINT usage_series_once UNIQUE (team_id, key)
);

CREATE TABLE usage_event (
    team_id bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    series_id bigint NOT NULL,
    batch_id bigint NOT NULL DEFAULT 0,
    api_key_id bigint,
    latency_ms integer CHECK (latency_ms >= 0),
    ttft_ms integer CHECK (ttft_ms >= 0),
    queue_ms integer CHECK (queue_ms >= 0),
    input_tokens integer CHECK (input_tokens >= 0),
    output_tokens integer CHECK (output_tokens >= 0),
    cached_input_tokens integer CHECK (cached_input_tokens >= 0),
    cache_write_tokens integer CHECK (cache_write_tokens >= 0),
    reasoning_tokens integer CHECK (reasoning_tokens >= 0),
    context_tokens integer CHECK (context_tokens >= 0),
    top_score real,
    http_status smallint,
    retry_count smallint,
    documents smallint,
    citations smallint,
    feedback smallint,
    cost_state smallint NOT NULL,
    refused boolean,
    policy_hit boolean,
    schema_valid boolean,
    cache_hit boolean,
    cost_usd numeric(24, 12) CHECK (cost_usd >= 0),
    reported_cost_usd numeric(24, 12) CHECK (reported_cost_usd >= 0),
    event_id text COLLATE "C" NOT NULL,
    trace_id text COLLATE "C",
    span_id text COLLATE "C",
    parent_span_id text COLLATE "C",
    request_id text COLLATE "C",
    conversation_id text COLLATE "C",
    session_id text COLLATE "C",
    tenant text COLLATE "C",
    user_hash text COLLATE "C",
    response_model text COLLATE "C",
    detail jsonb,
    PRIMARY KEY (team_id, occurred_at, event_id),
    CONSTRAINT usage_event_priced_has_cost CHECK ((cost_state = 1) = (cost_usd IS NOT NULL))
) PARTITION BY RANGE (occurred_at);

-- Find an event by any of its ids over the whole retention: a bloom filter per 64 pages costs about a byte a row and
-- next to nothing on insert, where a btree costs 40 bytes and a random page. usage.partitions summarises new ranges.
CREATE INDEX usage_event_trace ON usage_event USING brin
    (trace_id text_bloom_ops (n_distinct_per_range = 1000, false_positive_rate = 0.005)) WITH (pages_per_range = 64);
CREATE INDEX usage_event_conversation ON usage_event USING brin
    (conversation_id text_bloom_ops (n_distinct_per_range = 600, false_positive_rate = 0.005))
    WITH (pages_per_range = 64);
CREATE INDEX usage_event_request ON usage_event USING brin
    (request_id text_bloom_ops (n_distinct_per_range = 1000, false_positive_rate = 0.005)) WITH (pages_per_range = 64);
CREATE INDEX usage_event_event ON usage_event USING brin
    (event_id text_bloom_ops (n_distinct_per_range = 2000, false_positive_rate = 0.005)) WITH (pages_per_range = 64);

-- Buckets to bring up to date; tier 0 minute, 1 hour, 2 day. Append-only in the writer's transaction. With a batch_id
-- only the events of that batch are new in the minute; without one the whole bucket is to be recomputed.
CREATE TABLE usage_rollup_mark (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tier smallint NOT NULL,
    team_id bigint NOT NULL,
    bucket timestamptz NOT NULL,
    batch_id bigint,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
-- Which buckets of a window are stale (every metric query asks).
CREATE INDEX usage_rollup_mark_stale ON usage_rollup_mark (tier, bucket, team_id);

CREATE TABLE usage_batch_ledger (
    team_id bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    body_digest bytea NOT NULL,
    answer jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team_id, key)
);
CREATE INDEX usage_batch_ledger_age ON usage_batch_ledger USING brin (created_at);

CREATE TABLE usage_event_stamp (
    team_id bigint NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (team_id, event_id)
);
CREATE INDEX usage_event_stamp_age ON usage_event_stamp USING brin (occurred_at);
"""

ROLLUPS = "".join(
    f"""
CREATE TABLE usage_{tier} (
    team_id bigint NOT NULL, bucket timestamptz NOT NULL, series_id bigint NOT NULL,
    {MEASURES}, PRIMARY KEY (team_id, bucket, series_id)
) {suffix};
CREATE TABLE usage_tenant_{tier} (
    team_id bigint NOT NULL, bucket timestamptz NOT NULL, series_id bigint NOT NULL, tenant text COLLATE "C" NOT NULL,
    {MEASURES}, PRIMARY KEY (team_id, bucket, series_id, tenant)
) {suffix};
"""
    for tier, suffix in (("minute", "PARTITION BY RANGE (bucket)"), ("hour", ""), ("day", ""))
)

DROP = """
DROP TABLE IF EXISTS usage_minute, usage_tenant_minute, usage_hour, usage_tenant_hour, usage_day, usage_tenant_day,
    usage_event, usage_rollup_mark, usage_batch_ledger, usage_event_stamp, usage_series CASCADE;
DROP SEQUENCE IF EXISTS usage_series_id_seq;
"""


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [migrations.RunSQL(EVENTS + ROLLUPS, DROP)]
