"""Hot tables. The database side is SQL in migration 0001 (partitions, no foreign keys, every unique key has team_id,
so the same schema can be distributed by team); these classes let the ORM read them.
"""

from django.db import models

from usage.measures import DIMENSIONS


class Series(models.Model):
    """One combination of dimension values of a team; '' means the client did not say."""

    pk = models.CompositePrimaryKey("team_id", "id")
    team_id = models.BigIntegerField()
    id = models.BigIntegerField()
    key = models.UUIDField(help_text="Digest of the dimension values; unique per team")
    narrow_id = models.BigIntegerField(help_text="The series with only the narrow dimensions; itself if it is narrow")
    entry = models.BooleanField(help_text="The event has no parent: it is the request as the caller saw it")
    environment = models.TextField()
    service = models.TextField()
    feature = models.TextField()
    endpoint = models.TextField()
    operation = models.TextField()
    provider = models.TextField()
    model = models.TextField()
    region = models.TextField()
    release = models.TextField()
    prompt_version = models.TextField()
    experiment = models.TextField()
    variant = models.TextField()
    cost_center = models.TextField()
    initiator = models.TextField()
    tool_name = models.TextField()
    status = models.TextField()
    error_type = models.TextField()
    fallback_from = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "usage_series"

    def __str__(self) -> str:
        return " · ".join(value for name in DIMENSIONS if (value := getattr(self, name)))


class UsageEvent(models.Model):
    """One stage of an AI call. Identity: team, start time, event_id."""

    pk = models.CompositePrimaryKey("team_id", "occurred_at", "event_id")
    team_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    series_id = models.BigIntegerField()
    batch_id = models.BigIntegerField(help_text="The request that brought it; tells the roll-ups which events are new")
    api_key_id = models.BigIntegerField(null=True)
    latency_ms = models.IntegerField(null=True)
    ttft_ms = models.IntegerField(null=True)
    queue_ms = models.IntegerField(null=True)
    input_tokens = models.IntegerField(null=True)
    output_tokens = models.IntegerField(null=True)
    cached_input_tokens = models.IntegerField(null=True)
    cache_write_tokens = models.IntegerField(null=True)
    reasoning_tokens = models.IntegerField(null=True)
    context_tokens = models.IntegerField(null=True)
    top_score = models.FloatField(null=True)
    http_status = models.SmallIntegerField(null=True)
    retry_count = models.SmallIntegerField(null=True)
    documents = models.SmallIntegerField(null=True)
    citations = models.SmallIntegerField(null=True)
    feedback = models.SmallIntegerField(null=True, help_text="1 thumbs up, -1 thumbs down")
    cost_state = models.SmallIntegerField(
        help_text="0 no cost of its own, 1 priced, 2 no price known, 3 no usage known"
    )
    refused = models.BooleanField(null=True)
    policy_hit = models.BooleanField(null=True)
    schema_valid = models.BooleanField(null=True)
    cache_hit = models.BooleanField(null=True)
    escalated = models.BooleanField(null=True, help_text="Handed over to a person")
    cost_usd = models.DecimalField(max_digits=24, decimal_places=12, null=True)
    reported_cost_usd = models.DecimalField(max_digits=24, decimal_places=12, null=True)
    event_id = models.TextField()
    trace_id = models.TextField(null=True)
    span_id = models.TextField(null=True)
    parent_span_id = models.TextField(null=True)
    request_id = models.TextField(null=True)
    conversation_id = models.TextField(null=True)
    session_id = models.TextField(null=True)
    tenant = models.TextField(null=True)
    user_hash = models.TextField(null=True)
    response_model = models.TextField(null=True)
    reservation_id = models.TextField(null=True)
    detail = models.JSONField(null=True, help_text="Rarely read fields by name; unknown ones under `attributes`")

    class Meta:
        managed = False
        db_table = "usage_event"

    # Set by usage.queries.events.with_series; hot tables have no foreign keys.
    series: Series

    def __str__(self) -> str:
        return self.event_id


class RollupMark(models.Model):
    """A bucket to bring up to date. Appended in the writer's own transaction, deleted in the roll-up's.

    A minute's mark with a batch_id says that only that batch is new in it; any other mark is for the whole bucket.
    """

    MINUTE, HOUR, DAY = 0, 1, 2

    id = models.BigAutoField(primary_key=True)
    tier = models.SmallIntegerField()
    team_id = models.BigIntegerField()
    bucket = models.DateTimeField()
    batch_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "usage_rollup_mark"

    def __str__(self) -> str:
        return f"{self.team_id} {self.bucket} tier {self.tier}"


class LateMinute(models.Model):
    """A minute that got events long after it was over (usage.rollups.late), until somebody has looked at it again."""

    pk = models.CompositePrimaryKey("team_id", "bucket")
    team_id = models.BigIntegerField()
    bucket = models.DateTimeField()
    noticed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.team_id} {self.bucket}"


class BatchLedger(models.Model):
    """The answer given to an Idempotency-Key, so that a retry gets the same one."""

    pk = models.CompositePrimaryKey("team_id", "key")
    team_id = models.BigIntegerField()
    key = models.TextField()
    body_digest = models.BinaryField()
    answer = models.JSONField()
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "usage_batch_ledger"

    def __str__(self) -> str:
        return self.key


class EventStamp(models.Model):
    """The receipt time given to an event that came without `occurred_at`, so that a retry gets the same one."""

    pk = models.CompositePrimaryKey("team_id", "event_id")
    team_id = models.BigIntegerField()
    event_id = models.TextField()
    occurred_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "usage_event_stamp"

    def __str__(self) -> str:
        return self.event_id
