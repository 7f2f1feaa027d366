from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("usage", "0013_reservation_corrections"),
    ]

    operations = [
        migrations.CreateModel(
            name="LateMinute",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "team_id", "bucket", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("team_id", models.BigIntegerField()),
                ("bucket", models.DateTimeField()),
                ("noticed_at", models.DateTimeField()),
            ],
        ),
    ]
