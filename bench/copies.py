"""Many teams quickly: what a few teams have stored, copied to others inside the database."""

from collections.abc import Sequence

from django.db import connection

from accounts.models import Team

FIGURES = ("usage_series", "usage_minute", "usage_hour", "usage_day")
EVERYTHING = (*FIGURES, "usage_event", "usage_tenant_minute", "usage_tenant_hour", "usage_tenant_day")


def new_teams(count: int) -> list[Team]:
    """Teams team-1, team-2 …"""
    return Team.objects.bulk_create(Team(slug=f"team-{n}", name=f"Team {n}") for n in range(1, count + 1))


def copy(tables: Sequence[str], source: Team, others: Sequence[Team]) -> None:
    """The rows that `source` has in the tables, for each of the others too."""
    with connection.cursor() as cursor:
        for table in tables:
            names = ", ".join(_columns(cursor, table))
            cursor.execute(
                f"INSERT INTO {table} (team_id, {names}) SELECT t, {names} FROM {table}, unnest(%s::bigint[]) t"
                " WHERE team_id = %s",
                [[team.pk for team in others], source.pk],
            )


def _columns(cursor, table: str) -> list[str]:
    """All but the team."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema AND table_name = %s",
        [table],
    )
    return [name for (name,) in cursor.fetchall() if name != "team_id"]


def analyse() -> None:
    """What PostgreSQL's own worker would do a minute later."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
