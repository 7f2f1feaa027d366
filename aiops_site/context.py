"""What the frame of every page needs: navigation, theme, zone, search."""

from dataclasses import dataclass, field

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from accounts.access import visible_teams
from accounts.models import User
from incidents.controls import in_force, visible_controls
from incidents.models import Control
from incidents.queries import visible_alerts
from incidents.queries.incidents import visible_incidents
from incidents.queries.oncall import who_is_on_call

THEMES = (("system", "System"), ("light", "Light"), ("dark", "Dark"))


@dataclass(frozen=True)
class Entry:
    """One line of the rail. `url_name` is looked up at run time; `icon` names a symbol of components/icons.html."""

    label: str
    url_name: str
    icon: str
    phone: bool = False  # one of the five of the bottom bar
    also: tuple[str, ...] = ()  # other paths whose pages belong to this entry


NAV: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "Now",
        (
            Entry("Incident", "incident", "pulse", phone=True),
            Entry("Product", "product", "spark"),
            Entry("Executive", "executive", "report", phone=True),
        ),
    ),
    (
        "Respond",
        (
            Entry("Incidents", "incident-list", "siren", phone=True),
            Entry("Alerts", "alert-list", "bell", phone=True, also=("/slos/", "/oncall/")),
            Entry("Controls", "control-list", "switch"),
            Entry("Runbooks", "runbook-list", "book"),
            Entry("Postmortems", "postmortem-list", "report"),
            Entry("Drills", "drill-list", "drill"),
        ),
    ),
    (
        "Money",
        (
            Entry("Spend", "spend", "coins", phone=True),
            Entry("Anomalies", "anomaly-list", "pulse"),
            Entry("Budgets", "budget-list", "wallet"),
            Entry("Guard", "guard-list", "gate"),
            Entry("Reports", "report-list", "report", also=("/attribution/", "/backlog/")),
            Entry("Weekly review", "operations", "check"),
            Entry("Unpriced", "price-unpriced", "unknown"),
            Entry("Prices", "price-list", "tag"),
        ),
    ),
    (
        "Evidence",
        (
            Entry("Events", "event-list", "list", also=("/traces/", "/conversations/")),
            Entry("Changes", "change-list", "flag"),
            Entry("Reconcile", "reconcile", "check"),
        ),
    ),
    ("Desk", (Entry("Docs", "docs", "book"), Entry("Settings", "settings", "gear"))),
)


@dataclass(frozen=True)
class Link:
    """An entry with its address, ready to draw."""

    label: str
    url: str
    icon: str
    phone: bool
    current: bool


@dataclass(frozen=True)
class Frame:
    """The context variable `frame`."""

    nav: list[tuple[str, list[Link]]]
    theme: str
    zone: str
    search_url: str
    profile_url: str
    sign_out_url: str
    query: str
    teams: list[tuple[str, str]] | SimpleLazyObject
    now: SimpleLazyObject
    themes: tuple[tuple[str, str], ...] = THEMES
    phone: list[Link] = field(default_factory=list)
    more: list[Link] = field(default_factory=list)


def address(url_name: str) -> str:
    """The URL of a named page, empty where this desk has no such page."""
    try:
        return reverse(url_name)
    except NoReverseMatch:
        return ""


def current_url(path: str) -> str:
    """The entry that `path` belongs to: the longest address it starts with; the front page is only itself."""
    urls = [(address(entry.url_name), entry.also) for _, entries in NAV for entry in entries]
    found = [(start, url) for url, also in urls if url for start in (url, *also) if begins(path, start)]
    return max(found, key=lambda pair: len(pair[0]), default=("", ""))[1]


def begins(path: str, start: str) -> bool:
    """Whether `path` lies below `start`; nothing but the front page lies below "/"."""
    return path == start if start == "/" else path.startswith(start)


def links(entries: tuple[Entry, ...], current: str) -> list[Link]:
    found = [(entry, address(entry.url_name)) for entry in entries]
    return [Link(e.label, url, e.icon, e.phone, url == current) for e, url in found if url]


def theme_of(request: HttpRequest) -> str:
    """The cookie of this browser first, then the user's profile, then the system's."""
    user = getattr(request, "user", None)
    for choice in (request.COOKIES.get("theme"), getattr(user, "theme", None)):
        if choice in dict(THEMES):
            return choice
    return "system"


def teams_of(request: HttpRequest) -> list[tuple[str, str]]:
    """(slug, name) of the teams the viewer may switch between."""
    user = getattr(request, "user", None)
    return list(visible_teams(user).values_list("slug", "name")) if user and user.is_authenticated else []


@dataclass(frozen=True)
class Now:
    """What holds at this moment, for the strip: controls in force (not of normal mode), alerts and incidents open.

    `on_call`: how many are paged first; `alone` is who, where it is one person (None: nobody).
    """

    controls: list[Control] = field(default_factory=list)
    firing: int = 0
    on_call: int = 0
    alone: User | None = None
    incidents: int = 0


def now_of(request: HttpRequest) -> Now:
    user = getattr(request, "user", None)
    if not user or not user.is_authenticated:
        return Now()
    now = timezone.now()
    controls = visible_controls(user).filter(pk__in=in_force(now)).exclude(mode="normal")
    first = who_is_on_call(user, now)
    alone = User.objects.filter(pk__in=first).first() if len(first) == 1 else None
    incidents = visible_incidents(user).filter(resolved_at=None, is_drill=False)
    firing = visible_alerts(user).filter(resolved_at=None).count()
    return Now(list(controls), firing, len(first), alone, incidents.count())


def frame(request: HttpRequest) -> dict[str, Frame]:
    """Context processor: `frame` with navigation, theme, zone and search."""
    current = current_url(request.path)
    nav = [(title, found) for title, entries in NAV if (found := links(entries, current))]
    flat = [link for _, group in nav for link in group]
    return {
        "frame": Frame(
            nav=nav,
            theme=theme_of(request),
            zone=timezone.get_current_timezone_name(),
            search_url=address("event-list"),
            profile_url=address("profile"),
            sign_out_url=address("account_logout"),
            query=request.GET.get("q", ""),
            teams=SimpleLazyObject(lambda: teams_of(request)),
            now=SimpleLazyObject(lambda: now_of(request)),
            phone=[link for link in flat if link.phone],
            more=[link for link in flat if not link.phone],
        )
    }
