"""What people put on a timeline beside words, and how incidents belong together."""

from django.db import models
from django.db.models import F, Q


class IncidentImage(models.Model):
    """A picture of a timeline entry, decoded and encoded anew by the desk; served only to who sees the incident.

    Kept in the database: it is in the backup, and every web process serves it.
    """

    entry = models.OneToOneField("incidents.TimelineEntry", on_delete=models.CASCADE, related_name="image")
    content = models.BinaryField()
    content_type = models.CharField(max_length=20, choices=[("image/png", "PNG"), ("image/jpeg", "JPEG")])
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.width} × {self.height} {self.content_type}"


class IncidentLink(models.Model):
    """Two incidents that have to do with each other; `first` has the smaller id, so that a pair is one row."""

    first = models.ForeignKey("incidents.Incident", on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey("incidents.Incident", on_delete=models.CASCADE, related_name="+")
    created_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["first", "second"], name="incident_link_once"),
            models.CheckConstraint(condition=Q(first__lt=F("second")), name="incident_link_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.first_id} – {self.second_id}"
