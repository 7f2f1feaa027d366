"""`manage.py createadmin --email …`: the first person of a production desk."""

import os

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounts.actions import create_admin
from accounts.models import User
from accounts.rules import random_text


class Command(BaseCommand):
    requires_system_checks = []  # which load every page of the desk; `migrate` makes them
    help = "Create an organisation-wide admin. The password is taken from ADMIN_PASSWORD, or made and printed."

    def add_arguments(self, parser):
        parser.add_argument("--email", required=True)

    def handle(self, *, email, **options):
        given = os.environ.get("ADMIN_PASSWORD", "")
        password = given or random_text(20)
        try:
            validate_password(password, User(email=email))
            user = create_admin(email=email, password=password, label="manage.py createadmin")
        except ValidationError as exc:
            raise CommandError(" ".join(exc.messages)) from exc
        self.stdout.write(f"{user.email} is admin of the organisation.")
        if not given:
            self.stdout.write(f"Password: {password}")
