"""The demo has budgets that say something, once, and they go with it."""

import pytest
from django.utils import timezone

from accounts.demo import create_demo_teams, remove_demo_people
from budgets.demo import BUDGETS, create_demo_budgets
from budgets.models import Budget
from incidents.models import ModePolicy

pytestmark = pytest.mark.django_db


def test_a_teams_own_budgets_are_left_to_it(cast):
    create_demo_teams()  # "support" and "search" are the cast's own
    create_demo_budgets(timezone.now())
    assert set(Budget.objects.values_list("team__is_demo", flat=True)) == {True}


def test_they_are_made_once():
    assert create_demo_budgets(timezone.now()) == 0
    create_demo_teams()
    assert create_demo_budgets(timezone.now()) == len(BUDGETS)
    assert create_demo_budgets(timezone.now()) == 0


def test_they_go_with_the_demo():
    create_demo_teams()
    create_demo_budgets(timezone.now())
    remove_demo_people()
    assert not Budget.objects.exists() and not ModePolicy.objects.exists()
