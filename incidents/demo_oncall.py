"""On call of the demo teams: a rota each, and pages that climb. Removed with the teams."""

from datetime import datetime, time, timedelta

from accounts.actions import Author
from accounts.models import Team, User
from incidents.actions.oncall import RotaFacts, StepFacts, save_policy, save_rota
from incidents.models import Rota

DEMO = Author(label="demo")
PEOPLE = ("oncall@demo.example", "admin@demo.example")
BEGAN = timedelta(weeks=4)


def create_demo_oncall(now: datetime) -> int:
    """Make them where no demo team has a rota yet; returns how many were made."""
    teams = list(Team.objects.filter(is_demo=True))
    people = list(User.objects.filter(email__in=PEOPLE).order_by("-email"))
    if not people or Rota.objects.filter(team__in=teams).exists():
        return 0
    monday = (now - BEGAN - timedelta(days=now.weekday())).date()
    for team in teams:
        facts = RotaFacts(team, "Primary", 1, 7, time(9), "Europe/Berlin", monday, people)
        rota = save_rota(author=DEMO, rota=None, facts=facts)
        steps = [StepFacts(rota, None, 5), StepFacts(None, people[-1], 10)]
        save_policy(author=DEMO, team=team, rounds=2, steps=steps)
    return len(teams)
