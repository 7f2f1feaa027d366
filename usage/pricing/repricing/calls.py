"""Which calls a run is about: the series of its model, and those whose answering model may be it."""

from dataclasses import dataclass, replace

from django.db import connection
from django.utils import timezone

from usage.ingest.series import OVERFLOW
from usage.models import Repricing
from usage.pricing.aliases import normal
from usage.pricing.book import Book


@dataclass(frozen=True)
class CallSeries:
    """The parts of a series that a price depends on."""

    provider: str
    model: str
    region: str

    def unfolded(self, kept: dict[str, str] | None) -> "CallSeries":
        """With the values that a series beyond the limit has folded and only the event keeps."""
        return self if not kept else replace(self, **{name: kept[name] for name in vars(self) if name in kept})


def teams_of(job: Repricing) -> list[int]:
    """Ids of the teams the run goes through, ascending."""
    if job.team_id is not None:
        return [job.team_id]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT team_id FROM usage_series WHERE lower(provider) IN (%s, %s) ORDER BY 1",
            [job.provider, OVERFLOW],
        )
        return [team for (team,) in cursor.fetchall()]


def series_of(job: Repricing, team: int) -> dict[int, CallSeries]:
    """The series of the provider and model, by id."""
    return {pk: one for pk, one in _of_provider(job, team).items() if normal(one.model) == job.model}


def series_with_answers(job: Repricing, team: int, book: Book) -> dict[int, CallSeries]:
    """Those, and the ones without a price of their own: the name of a deployment or a router, or a folded one.

    Which model such a call is priced by, only the event tells.
    """
    now = timezone.now()
    return {
        pk: one
        for pk, one in _of_provider(job, team).items()
        if normal(one.model) == job.model or book.rate(team, one.provider, one.model, one.region, "", now) is None
    }


def _of_provider(job: Repricing, team: int) -> dict[int, CallSeries]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, provider, model, region FROM usage_series WHERE team_id = %s AND lower(provider) IN (%s, %s)",
            [team, job.provider, OVERFLOW],
        )
        return {pk: CallSeries(*names) for pk, *names in cursor.fetchall()}
