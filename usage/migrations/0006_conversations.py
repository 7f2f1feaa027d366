"""Measures of conversations and of escalations, written out as migration 0001 is."""

from django.db import migrations

MEASURES = """
    ADD COLUMN escalated bigint,
    ADD COLUMN escalated_known bigint,
    ADD COLUMN conversation_cost_usd numeric,
    ADD COLUMN conversation_priced bigint,
    ADD COLUMN conversation_unknown bigint,
    ADD COLUMN conversation_sketch bytea
"""
NAMES = (
    "escalated",
    "escalated_known",
    "conversation_cost_usd",
    "conversation_priced",
    "conversation_unknown",
    "conversation_sketch",
)
TABLES = [f"usage_{family}{tier}" for family in ("", "tenant_") for tier in ("minute", "hour", "day")]
FORWARD = ["ALTER TABLE usage_event ADD COLUMN escalated boolean"]
FORWARD += [f"ALTER TABLE {table} {MEASURES}" for table in TABLES]
BACK = ["ALTER TABLE usage_event DROP COLUMN escalated"]
BACK += [f"ALTER TABLE {table} {', '.join(f'DROP COLUMN {name}' for name in NAMES)}" for table in TABLES]


class Migration(migrations.Migration):
    dependencies = [("usage", "0005_repricing_newly_priced")]
    operations = [migrations.RunSQL(FORWARD, BACK)]
