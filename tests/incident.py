"""Incidents for tests: one of team support, and what people do to it through the pages."""

from datetime import timedelta
from io import BytesIO

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from accounts.actions import Author
from incidents.actions.incidents import declare_incident
from incidents.models import Incident

SCRIPT = "<script>alert(1)</script>"


def declared(cast, **more) -> Incident:
    """An open incident of team support, detected ten minutes ago by the desk itself."""
    at = timezone.now() - timedelta(minutes=10)
    facts = {"author": Author(label="alert rules"), "team": cast.support, "title": "Answers fail", "severity": 2}
    return declare_incident(**facts | {"at": at, "impact_started_at": at - timedelta(minutes=2)} | more)


def url_of(incident: Incident, name: str = "detail", *more) -> str:
    return reverse(f"incident-{name}", args=[incident.pk, *more])


def picture(kind: str = "PNG", size: tuple[int, int] = (8, 6), name: str = "shot.png") -> SimpleUploadedFile:
    out = BytesIO()
    Image.new("RGB", size, "red").save(out, kind)
    return SimpleUploadedFile(name, out.getvalue())
