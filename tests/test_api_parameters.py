"""What is misspelt in a query string must not widen the answer."""

import pytest

from tests.cast import bearer

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["anomalies", "budgets", "controls", "focus", "forecast", "reports"])
def test_a_parameter_that_does_not_exist_is_named_and_not_ignored(client, support_key, name):
    answer = client.get(f"/api/v1/{name}", {"status": "open"}, headers=bearer(support_key))
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "status")


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"start": "nonsense", "end": "2026-11-02"}, "start"),
        ({"start": "2026-11-05", "end": "2026-11-01"}, "end"),
        ({"month": "2026-11", "start": "2026-11-01", "end": "2026-11-02"}, "month"),
    ],
)
def test_the_window_of_focus_names_the_wrong_part(client, support_key, sent, field):
    answer = client.get("/api/v1/focus", sent, headers=bearer(support_key))
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)
