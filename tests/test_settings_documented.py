"""Every setting that is read is explained, and every one that is explained is read."""

import re
from pathlib import Path

import pytest
from django.conf import settings

from aiops_site import checks

ROOT = Path(settings.BASE_DIR)
READ = re.compile(r'(?:\benv\.\w+\(|os\.environ\.get\(|os\.environ\[)\s*"([A-Z][A-Z_]+)"')


def names_read() -> set[str]:
    """Settings that our code reads from the environment."""
    rooms = [ROOT / room for room in ("accounts", "usage", "aiops_site")]
    files = [ROOT / "gunicorn.conf.py", *(file for room in rooms for file in room.rglob("*.py"))]
    return {name for file in files for name in READ.findall(file.read_text())}


def names_documented() -> set[str]:
    """First cells of the tables in docs/settings.md."""
    return set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))


def test_every_setting_is_documented():
    assert names_read() - names_documented() == set()


def test_every_documented_setting_exists():
    makefile = set(re.findall(r"^([A-Z_]+) \?=", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert names_documented() - names_read() - makefile == set()


def test_the_example_file_names_real_settings():
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert {line.split("=")[0] for line in lines if "=" in line and line[0] != "#"} <= names_documented()


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        (checks.check_secret_key, {"SECRET_KEY": "short"}),
        (checks.check_database, {"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3"}}}),
        (checks.check_hosts, {"ALLOWED_HOSTS": ["*"]}),
        (checks.check_hosts, {"CSRF_TRUSTED_ORIGINS": ["desk.example.com"]}),
        (checks.check_retention, {"MINUTE_RETENTION_DAYS": 500}),
        (checks.check_retention, {"RAW_RETENTION_DAYS": 0}),
        (checks.check_networks, {"OUTBOUND_ALLOWED_NETWORKS": ["10.1.0.0/99"]}),
    ],
)
def test_a_misconfiguration_is_explained_with_a_hint(monkeypatch, check, changes):
    for name, value in changes.items():
        monkeypatch.setattr(settings, name, value)
    (message,) = check(None)
    assert message.hint


def test_the_defaults_pass_every_check():
    assert [message for check in checks.ALL for message in check(None)] == []
