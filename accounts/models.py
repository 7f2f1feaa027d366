"""Who may see and do what: users, teams, memberships with a role, API keys, and the append-only audit log."""

from typing import ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.functional import cached_property


class EmailUserManager(UserManager):
    """Creates and finds users by e-mail, kept in lower case so that one person is one row."""

    use_in_migrations = True

    def _create_user(self, email, password, **extra):
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    # By e-mail, where Django's manager takes a user name first.
    def create_user(self, email, password=None, **extra):  # type: ignore[override]
        return self._create_user(email, password, **{"is_staff": False, "is_superuser": False} | extra)

    def create_superuser(self, email, password=None, **extra):  # type: ignore[override]
        return self._create_user(email, password, **{"is_staff": True, "is_superuser": True} | extra)

    @classmethod
    def normalize_email(cls, email):
        return (email or "").strip().lower()

    def get_by_natural_key(self, email):
        return self.get(email=self.normalize_email(email))


class User(AbstractUser):
    """A person. Signs in by e-mail; sees the teams of their memberships, in their own time zone."""

    # Django's way to drop an inherited field, which its stubs do not know.
    username = None  # type: ignore[assignment]
    email = models.EmailField("e-mail address", unique=True)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="IANA name, e.g. Europe/Berlin")
    theme = models.CharField(
        max_length=6, choices=[("system", "System"), ("light", "Light"), ("dark", "Dark")], default="system"
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[EmailUserManager] = EmailUserManager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_ci")]

    def __str__(self) -> str:
        return self.get_full_name() or self.email

    @cached_property
    def roles_by_team(self) -> dict[int | None, frozenset[str]]:
        """Roles held, by team id; None is the whole organisation. Read once per request (per user object)."""
        held: dict[int | None, frozenset[str]] = {}
        for team_id, role in self.memberships.values_list("team_id", "role"):
            held[team_id] = held.get(team_id, frozenset()) | {role}
        return held


class Team(models.Model):
    """A team that runs AI features. Every event, key and figure belongs to one."""

    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=100)
    cost_center = models.CharField(max_length=100, blank=True)
    is_demo = models.BooleanField(default=False, help_text="Made by the demo generator; removable as a whole.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(slug__regex=r"^[a-z0-9][a-z0-9_-]*$"), name="team_slug_lower_case"),
        ]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    MAINTAINER = "maintainer", "Maintainer"
    APPROVER = "approver", "Approver"
    FINANCE = "finance", "Finance"
    SECURITY = "security", "Security"
    ADMIN = "admin", "Admin"


class Membership(models.Model):
    """A user's role in one team, or in the whole organisation where `team` is empty."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "team", "role"], name="membership_once", nulls_distinct=False),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.team or 'the organisation'}"


class Scope(models.TextChoices):
    INGEST = "ingest", "Send events"
    READ = "read", "Read figures"
    GUARD = "guard", "Ask the guard"
    PRICES = "prices", "Edit prices and re-price"
    ALERTS = "alerts", "Send alerts"
    INCIDENTS = "incidents", "Declare incidents and write their timelines"
    RULES = "rules", "Edit alert rules"


class ApiKey(models.Model):
    """A team's key for the API. Only a hash is kept; `prefix` finds the row and names the key on pages."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, unique=True)
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of the secret part")
    scopes = ArrayField(models.CharField(max_length=10, choices=Scope.choices), size=7)
    environment = models.CharField(
        max_length=64, blank=True, help_text="Events sent with this key get this environment; empty: the event says it."
    )
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(scopes__len__gte=1), name="api_key_has_a_scope"),
            models.CheckConstraint(condition=Q(scopes__contained_by=Scope.values), name="api_key_scopes_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class AuditEntry(models.Model):
    """Who changed what, from what to what, when, from where.

    A trigger (migration 0002) refuses TRUNCATE, every UPDATE, and DELETE inside the 24 months of retention.
    So `actor` and `team` are pointers without a constraint: a user or team can go and the row stays as written;
    the labels keep saying who and which.
    """

    at = models.DateTimeField(auto_now_add=True)
    actor = models.ForeignKey(
        User, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, null=True, blank=True, related_name="+"
    )
    actor_label = models.CharField(max_length=200, help_text="Kept when the user is gone; names a key or a task too.")
    team = models.ForeignKey(
        Team, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, null=True, blank=True, related_name="+"
    )
    team_label = models.CharField(max_length=50, blank=True, help_text="The team's slug, kept when the team is gone.")
    action = models.CharField(max_length=60, help_text="noun.verb, e.g. api_key.created")
    target = models.CharField(max_length=200)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    reason = models.TextField(blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["team", "-id"], name="audit_by_team"),  # the audit page of one team
            models.Index(fields=["action", "-id"], name="audit_by_action"),  # the audit page filtered by action
            models.Index(fields=["actor", "-id"], name="audit_by_actor"),  # the audit page filtered by person
            models.Index(fields=["at"], name="audit_by_time"),  # the audit page's time filter; retention
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor_label} {self.action} {self.target}"
