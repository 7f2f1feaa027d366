"""Settings, read from the environment with types and explained defaults (docs/settings.md lists them all)."""

from pathlib import Path

import environ
from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
environ.Env.read_env(env.str("ENV_FILE", str(BASE_DIR / ".env")), overwrite=False)
DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / ".data"))).resolve()
# The servers of a running `make run`, so that `manage.py` in a second terminal finds them. What is set wins.
environ.Env.read_env(DATA_DIR / "desk.env", overwrite=False)

# --- Core -------------------------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", False)


def secret_key() -> str:
    """SECRET_KEY from the environment, else the one `make run` keeps in DATA_DIR."""
    if key := env.str("SECRET_KEY", ""):
        return key
    kept = DATA_DIR / "secret_key"
    if kept.exists():
        return kept.read_text().strip()
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. Set it to 50 or more random characters, or start with `make run`, which makes one."
    )


SECRET_KEY = secret_key()
# Former keys: sessions and stored channel secrets of theirs stay readable, nothing new is made with them.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Behind a TLS proxy that sets X-Forwarded-Proto.
HTTPS = env.bool("HTTPS", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "accounts",
    "usage",
    "incidents",
    "budgets",
    "aiops_site",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "aiops_site.middleware.ContentSecurityPolicyMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "aiops_site.middleware.ApiMiddleware",  # what follows is for pages only
    "aiops_site.middleware.NulFreeQueryMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "aiops_site.middleware.ViewerTimeZoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "aiops_site.middleware.MethodNotAllowedMiddleware",
]

# Not the default with its signed cookie, which costs every request, API ones too, a sixth of its time to set up.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
ROOT_URLCONF = "aiops_site.urls"
WSGI_APPLICATION = "aiops_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "aiops_site.context.frame",
            ],
        },
    }
]

# --- Database and broker ----------------------------------------------------------------------------------------
# Without a DATABASE_URL the supervisor (`make run`) starts PostgreSQL in DATA_DIR and sets it.
DATABASES = {"default": env.db_url("DATABASE_URL", default="postgresql://postgres@127.0.0.1/desk")}
# Django's own, but its health check needs no round trip.
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["ENGINE"] = "aiops_site.database"
DATABASES["default"]["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", 60)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# Safe behind PgBouncer in transaction mode: no server-side cursors, no prepared statements.
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
DATABASES["default"].setdefault("OPTIONS", {})["prepare_threshold"] = None
# A server that does not answer is "away" after seconds, not after the kernel's two minutes.
DATABASES["default"]["OPTIONS"].setdefault("connect_timeout", 5)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CELERY_BROKER_URL = BROKER_URL = env.str("BROKER_URL", "redis://127.0.0.1:6379/0")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "batch"
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A broker that is away costs whoever sends a task two seconds, not a hanging request.
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_keepalive": True}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
# realtime: what a person waits for; backfill: what may take hours; batch (the default): everything else.
CELERY_TASK_ROUTES = {
    "usage.tasks.rollups.drain_minutes": {"queue": "realtime"},
    "budgets.tasks.guard.refresh_metered": {"queue": "realtime"},
    "budgets.tasks.guard.settle_events": {"queue": "realtime"},
    "budgets.tasks.guard.sweep_holds": {"queue": "realtime"},
    "budgets.tasks.automation.*": {"queue": "realtime"},
    "incidents.tasks.alert_rules.evaluate_rules": {"queue": "realtime"},
    "incidents.tasks.desk.beat_realtime": {"queue": "realtime"},
    "incidents.tasks.incidents.*": {"queue": "realtime"},
    "incidents.tasks.sending.send_due": {"queue": "realtime"},
    "incidents.tasks.canaries.run_canaries": {"queue": "realtime"},
    "incidents.tasks.oncall.escalate": {"queue": "realtime"},
    "usage.tasks.repricing.*": {"queue": "backfill"},
    "usage.tasks.reconciliation.*": {"queue": "backfill"},
    "usage.tasks.attribution.*": {"queue": "backfill"},
}


def every(task: str, seconds: int) -> dict[str, object]:
    """A beat entry. A run that waited longer than its period is dropped: the next one does its work."""
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}


CELERY_BEAT_SCHEDULE = {
    "roll up minutes": every("usage.tasks.rollups.drain_minutes", 2),
    "roll up hours": every("usage.tasks.rollups.drain_hours", 30),
    "roll up days": every("usage.tasks.rollups.drain_days", 120),
    "maintain partitions": every("usage.tasks.rollups.maintain_partitions", 120),
    "expire old rows": every("usage.tasks.rollups.expire", 3600),
    "take up reconciliations": every("usage.tasks.reconciliation.reconcile_waiting", 60),
    "reconcile nightly": {
        "task": "usage.tasks.reconciliation.reconcile_nightly",
        "schedule": crontab(hour=2, minute=20),
    },
    "take up re-pricing": every("usage.tasks.repricing.take_up", 20),
    "move events of API keys": every("usage.tasks.attribution.move_waiting", 60),
    "meter budgets": every("budgets.tasks.guard.refresh_metered", 5),
    "evaluate thresholds of budgets": every("budgets.tasks.automation.evaluate_thresholds", 5),
    "evaluate alert rules": every("incidents.tasks.alert_rules.evaluate_rules", 30),
    "look at late windows": every("incidents.tasks.alert_rules.look_at_late_windows", 60),
    "write timelines of open incidents": every("incidents.tasks.incidents.follow_incidents", 15),
    "nag for promised updates": every("incidents.tasks.incidents.nag_for_updates", 60),
    "mail messages of incidents": every("incidents.tasks.incidents.mail_messages", 15),
    "remind of action items": every("incidents.tasks.action_items.remind_of_items", 3600),
    "keep the status page": every("incidents.tasks.incidents.refresh_status_page", 60),
    "take the pulse of the realtime queue": every("incidents.tasks.desk.beat_realtime", 60),
    "take the pulse of the batch queue": every("incidents.tasks.desk.beat_batch", 60),
    "settle from events": every("budgets.tasks.guard.settle_events", 1),
    "sweep reservations": every("budgets.tasks.guard.sweep_holds", 2),
    "measure answers": every("budgets.tasks.guard.measure_answers", 600),
    "forecast": every("budgets.tasks.forecasts.refresh_forecasts", 60),
    "weekly cost reports": {"task": "budgets.tasks.reports.weekly_reports", "schedule": crontab(minute=10)},
    "find anomalies": every("budgets.tasks.anomalies.find_anomalies", 60),
    "run synthetic checks": every("incidents.tasks.canaries.run_canaries", 5),
    "expire runs of synthetic checks": every("incidents.tasks.canaries.expire_canary_runs", 3600),
    "send notifications": every("incidents.tasks.sending.send_due", 3),
    "escalate pages": every("incidents.tasks.oncall.escalate", 5),
    "expire deliveries": every("incidents.tasks.sending.expire_deliveries", 3600),
    "advance drills": every("aiops_site.tasks.advance_drills", 5),
    "expire guard rows": every("budgets.tasks.guard.expire_guard_rows", 600),
}

# --- Accounts ---------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = LOGIN_URL
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_AGE = env.int("SESSION_DAYS", 14) * 86_400
# Outgoing mail as a URL, e.g. smtp+tls://user:password@mail.example:587. Without it: no password reset, no
# verification of addresses; an admin hands out passwords instead.
EMAIL_CONFIGURED = bool(env.str("EMAIL_URL", ""))
if EMAIL_CONFIGURED:
    vars().update(env.email_url("EMAIL_URL"))
# Where people reach the desk, for links in mail; without it mail has none.
DESK_URL = env.str("DESK_URL", "")
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", "desk@localhost")
# Whether a stranger may make an account (without any role it sees nothing). Needs EMAIL_URL.
SIGNUP_OPEN = env.bool("SIGNUP_OPEN", False)
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if SIGNUP_OPEN else "none"
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[AI Ops Desk] "
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "AI Ops Desk"
# Addresses are given by an admin here, not claimed by their holder.
MFA_ALLOW_UNVERIFIED_EMAIL = True
# How many proxies of yours stand in front and append to X-Forwarded-For (throttling and audit use the client's IP).
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", 0)
# Single sign-on by OpenID Connect: all of these, from your identity provider. Its people may sign in; a new one
# sees nothing until someone grants a role, and one with a known, verified address gets that account.
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", "")
SOCIALACCOUNT_ADAPTER = "accounts.adapter.SocialAccountAdapter"
# A link, not a form: the policy's form-action allows no redirect to the provider. The state parameter guards it.
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_PROVIDERS = {}
if OIDC_CLIENT_ID:
    SOCIALACCOUNT_PROVIDERS["openid_connect"] = {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "sso",
                "name": env.str("OIDC_NAME", "Single sign-on"),
                "client_id": OIDC_CLIENT_ID,
                "secret": env.str("OIDC_CLIENT_SECRET", ""),
                "settings": {"server_url": env.str("OIDC_SERVER_URL", "")},
            }
        ],
    }

# --- Logging ----------------------------------------------------------------------------------------------------
# Django would mail errors to ADMINS and, outside DEBUG, write them nowhere. They belong into the process's own log.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "WARNING"},
        # Below an error of ours these are answers of 4xx, which are the caller's business.
        "django.request": {"level": "ERROR"},
    },
}

# --- Cache ------------------------------------------------------------------------------------------------------
# Holds the counters that throttle sign-in. In the database: shared by all processes, and signing in needs the
# database anyway, while it must work with the broker down.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "desk_cache"}}

# --- Time, language, static files -------------------------------------------------------------------------------
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(DATA_DIR / "staticfiles")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# --- Usage ------------------------------------------------------------------------------------------------------
# Raw events are kept, and late ones accepted, this far back.
RAW_RETENTION_DAYS = env.int("RAW_RETENTION_DAYS", 35)
MINUTE_RETENTION_DAYS = env.int("MINUTE_RETENTION_DAYS", 14)
HOUR_RETENTION_DAYS = env.int("HOUR_RETENTION_DAYS", 400)
# A request body, before and after decompression.
INGEST_MAX_BYTES = env.int("INGEST_MAX_BYTES", 32 * 1024 * 1024)
INGEST_MAX_EVENTS = env.int("INGEST_MAX_EVENTS", 10_000)
# Combinations of dimension values a team may have; beyond it, rarer dimensions are folded into "(overflow)".
SERIES_LIMIT = env.int("SERIES_LIMIT", 20_000)
# An hour whose figures are off by less money than this, or by less than 1 % of the team's usual cost, is no anomaly.
ANOMALY_LEAST_USD = env.str("ANOMALY_LEAST_USD", "0.05")

# --- Notifications ------------------------------------------------------------------------------------------------
# Private networks that webhooks, channels and synthetic checks may reach, e.g. 10.1.0.0/16; otherwise none.
OUTBOUND_ALLOWED_NETWORKS = env.list("OUTBOUND_ALLOWED_NETWORKS", default=[])

# --- API --------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.api.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
    "EXCEPTION_HANDLER": "accounts.api.api_exception_handler",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "AI Ops Desk API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Without its own heading: the page has one, and the link to the schema (templates/drf_spectacular/).
    "SWAGGER_UI_SETTINGS": "{deepLinking: true, plugins: [() => ({components: {info: () => null}})]}",
}
