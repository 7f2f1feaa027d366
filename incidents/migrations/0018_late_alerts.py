from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("incidents", "0017_forecast_rules"),
    ]

    operations = [
        migrations.AddField(
            model_name="alert",
            name="learnt_at",
            field=models.DateTimeField(
                blank=True, help_text="Of one whose events came when it was over: when it was learnt", null=True
            ),
        ),
    ]
