"""docs/api.md and the OpenAPI schema say what the decoder does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.urls import reverse

from tests.cast import make_key, make_team
from usage.api.events_schema import EVENT
from usage.ingest.shape import Event
from usage.models import UsageEvent

DOCS = Path(__file__).parent.parent / "docs" / "api.md"


def takes(limits: dict) -> str:
    if "enum" in limits:
        return ", ".join(limits["enum"])
    if "maximum" in limits:
        return f"{limits['type']} {limits['minimum']:,.0f} to {limits['maximum']:,.0f}"
    if "maxLength" in limits:
        return f"text, up to {limits['maxLength']} characters"
    return {"date-time": "time"}.get(limits.get("format", ""), limits.get("type", "USD, number or text"))


def field_table() -> str:
    rows = [f"| `{name}` | {takes(limits)} | {limits.get('description', '')} |" for name, limits in in_order()]
    return "\n".join(["| Field | Takes | Meaning |", "|---|---|---|", *rows])


def in_order():
    return [(name, EVENT["properties"][name]) for name in Event.__struct_fields__]


def test_the_table_of_fields_is_the_decoders():
    assert field_table() in DOCS.read_text(), f"put this into docs/api.md:\n{field_table()}"


def test_the_schema_describes_every_field():
    assert set(EVENT["properties"]) == set(Event.__struct_fields__)
    assert EVENT["required"] == ["event_id"]
    assert all(limits.get("description") for limits in EVENT["properties"].values())


@pytest.mark.parametrize("limit", ["INGEST_MAX_BYTES", "INGEST_MAX_EVENTS", "RAW_RETENTION_DAYS", "SERIES_LIMIT"])
def test_every_limit_names_its_setting(limit):
    assert f"`{limit}`" in DOCS.read_text()


def test_the_address_is_the_documented_one():
    assert reverse("api-events") in DOCS.read_text()


def test_the_python_example_works_as_it_stands(live_server):
    code = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]
    key = make_key(make_team("docs"), "ingest")[1]
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"AIOPS_URL": live_server.url, "AIOPS_KEY": key},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "'accepted': 1" in run.stdout, run.stderr
    assert UsageEvent.objects.get().latency_ms == 1240
