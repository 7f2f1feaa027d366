from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("incidents", "0015_drill_notes_version"),
    ]

    operations = [
        migrations.AddField(
            model_name="control",
            name="concurrency",
            field=models.PositiveIntegerField(blank=True, help_text="Of a rate limit: open reservations", null=True),
        ),
        migrations.AddField(
            model_name="control",
            name="tokens_per_minute",
            field=models.PositiveBigIntegerField(blank=True, help_text="Of a rate limit", null=True),
        ),
        migrations.AlterField(
            model_name="control",
            name="kind",
            field=models.CharField(
                choices=[
                    ("mode", "Mode"),
                    ("kill_switch", "Kill switch"),
                    ("breaker", "Circuit breaker"),
                    ("failover", "Provider failover"),
                    ("throttle", "Queue throttle"),
                    ("rate_limit", "Rate limit"),
                ],
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="control",
            name="requests_per_minute",
            field=models.PositiveIntegerField(
                blank=True, help_text="Of a throttle, which 0 stops, or a rate limit", null=True
            ),
        ),
        migrations.AddConstraint(
            model_name="control",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "rate_limit"), _negated=True),
                    ("requests_per_minute__isnull", False),
                    ("tokens_per_minute__isnull", False),
                    ("concurrency__isnull", False),
                    _connector="OR",
                ),
                name="control_rate_limit_limits_something",
            ),
        ),
    ]
