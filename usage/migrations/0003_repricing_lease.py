from django.db import migrations, models
from django.utils import timezone


class Migration(migrations.Migration):
    dependencies = [("usage", "0002_models")]

    operations = [
        migrations.AlterField(
            model_name="price",
            name="provider",
            field=models.CharField(blank=True, help_text="As events name it; empty: they name none", max_length=100),
        ),
        migrations.AlterField(
            model_name="repricing", name="provider", field=models.CharField(blank=True, max_length=100)
        ),
        migrations.AddField(
            model_name="repricing",
            name="hours_skipped",
            field=models.BigIntegerField(
                default=0, help_text="Hours older than the raw events whose sums do not tell which price held"
            ),
        ),
        migrations.AddField(
            model_name="repricing",
            name="attempt",
            field=models.IntegerField(
                default=0, help_text="Counts the workers that took the run; only the last may write"
            ),
        ),
        migrations.AddField(
            model_name="repricing",
            name="claimable_at",
            field=models.DateTimeField(
                default=timezone.now,
                help_text="From then on any worker may take the run: a lease, renewed with every chunk",
            ),
        ),
        migrations.AddIndex(
            model_name="repricing",
            index=models.Index(
                fields=["claimable_at"],
                condition=models.Q(("state__in", ["waiting", "running"])),
                name="repricing_to_do",
            ),
        ),
    ]
