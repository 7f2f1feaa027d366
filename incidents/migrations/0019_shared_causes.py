import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("incidents", "0018_late_alerts"),
    ]

    operations = [
        migrations.AddField(
            model_name="incident",
            name="part_of",
            field=models.ForeignKey(
                blank=True,
                help_text="The organisation's incident of the same cause",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="parts",
                to="incidents.incident",
            ),
        ),
    ]
