"""Rules for forecasts over a budget named a source that raises nothing; the alerts come from budget-forecast."""

from django.db import migrations


def name_the_source(apps, schema_editor):
    for rule in apps.get_model("incidents", "AlertRule").objects.filter(kind="budget", options__source="forecast"):
        rule.options["source"] = "budget-forecast"
        rule.save(update_fields=["options"])


class Migration(migrations.Migration):
    dependencies = [("incidents", "0016_rate_limit_controls")]

    operations = [migrations.RunPython(name_the_source, migrations.RunPython.noop)]
