"""`manage.py apikey create|list|revoke`: keys for scripts, without a browser."""

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils.text import slugify

from accounts.actions import create_api_key, create_team, revoke_api_key
from accounts.models import ApiKey, Scope, Team

ACTOR = "manage.py apikey"


class Command(BaseCommand):
    requires_system_checks = []  # which load every page of the desk; `migrate` makes them
    help = "Create, list and revoke API keys."

    def add_arguments(self, parser):
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="print a new key, and nothing else, on standard output")
        create.add_argument("--team", required=True, metavar="SLUG")
        create.add_argument("--scopes", required=True, help=f"comma-separated, of {', '.join(Scope.values)}")
        create.add_argument("--environment", default="", help="events sent with this key get this environment")
        create.add_argument("--name", default="made on the command line")
        create.add_argument(
            "--create-team", dest="may_create", action="store_true", help="create the team if it does not exist"
        )
        listing = verbs.add_parser("list", help="prefix, team, scopes, environment, state and name of every key")
        listing.add_argument("--team", metavar="SLUG")
        revoke = verbs.add_parser("revoke", help="revoke a key by its prefix")
        revoke.add_argument("prefix")

    def handle(self, *args, **options):
        getattr(self, options["verb"])(**options)

    def create(self, *, team, scopes, environment, name, may_create: bool, **_):
        try:
            _key, text = create_api_key(
                team=self._team(team, may_create),
                name=name,
                scopes=[scope.strip() for scope in scopes.split(",") if scope.strip()],
                environment=environment,
                label=ACTOR,
            )
        except ValidationError as exc:
            raise CommandError(exc.message) from exc
        self.stdout.write(text)

    def _team(self, slug: str, may_create: bool) -> Team:
        if team := Team.objects.filter(slug=slug).first():
            return team
        if not may_create:
            known = ", ".join(Team.objects.values_list("slug", flat=True)) or "none yet"
            raise CommandError(f"There is no team '{slug}'. Teams: {known}. Add --create-team to make it.")
        if slug != slugify(slug):
            raise CommandError(f"'{slug}' is no slug. Use lower-case letters, digits and hyphens: '{slugify(slug)}'.")
        return create_team(slug=slug, name=slug)

    def list(self, *, team, **_):
        keys = ApiKey.objects.select_related("team")
        for key in keys.filter(team__slug=team) if team else keys:
            state = "revoked" if key.revoked_at else "active"
            used = f"{key.last_used_at:%Y-%m-%dT%H:%MZ}" if key.last_used_at else "never"
            cells = [key.prefix, key.team.slug, ",".join(key.scopes), key.environment or "-", state, used, key.name]
            self.stdout.write("\t".join(cells))

    def revoke(self, *, prefix, **_):
        try:
            key = ApiKey.objects.select_related("team").get(prefix=prefix)
        except ApiKey.DoesNotExist as exc:
            raise CommandError(f"There is no key with the prefix '{prefix}'. See `apikey list`.") from exc
        done = revoke_api_key(key=key, label=ACTOR)
        self.stdout.write(f"{key} of {key.team.slug}: {'revoked' if done else 'was revoked already'}")
