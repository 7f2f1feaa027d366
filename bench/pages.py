"""Row 5: every page as a signed-in person gets it, with little and with much stored."""

import re
import secrets
from collections import defaultdict
from dataclasses import dataclass, field
from html import unescape
from time import perf_counter
from urllib.parse import urlencode, urlsplit

from bench.connection import Answer, Connection, post
from bench.desk import BenchDesk, DeskFailed
from bench.processes import cpu_used
from bench.table import Row, ms, percentile, verdict

RATIO_GOAL, TIME_GOAL = 1.5, 0.1
EMAIL = "bench@example.com"
_PAGES = (
    "/",
    "/product/",
    "/executive/",
    "/spend/",
    "/events/",
    "/prices/",
    "/prices/unpriced/",
    "/prices/differences/",
    "/changes/",
    "/reconcile/",
)
_RANGE = "?range=30d"
_TICK = 0.001  # CPU time comes in hundredths of a second; over some visits this is the least it can tell
_TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="([^"]+)"')
_PART = re.compile(r'hx-get="([^"]+)"')
_CURRENT_TRACE = """
SELECT t.slug, e.trace_id, e.conversation_id FROM usage_event e JOIN accounts_team t ON t.id = e.team_id
WHERE e.trace_id IS NOT NULL ORDER BY e.occurred_at DESC LIMIT 1
"""


@dataclass
class Visitor:
    """A browser's session over one connection."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.link = Connection(self.port)

    def sign_in(self, password: str) -> None:
        """Through the sign-in form. Raises DeskFailed when it does not let us in."""
        form = self.get("/accounts/login/")
        token = _TOKEN.search(form.body)
        fields = {"login": EMAIL, "password": password, "csrfmiddlewaretoken": token[1].decode() if token else ""}
        headers = f"Content-Type: application/x-www-form-urlencoded\r\n{self._cookie_line()}"
        answer = self._kept(self.link.send(post("/accounts/login/", urlencode(fields).encode(), headers)))
        if answer.status != 302:
            raise DeskFailed(f"signing in: {answer.status} {answer.body[:2000]!r}")

    def get(self, path: str) -> Answer:
        return self._kept(self.link.get(path, self._cookie_line()))

    def _cookie_line(self) -> str:
        return (
            f"Cookie: {'; '.join(f'{name}={value}' for name, value in self.cookies.items())}\r\n"
            if self.cookies
            else ""
        )

    def _kept(self, answer: Answer) -> Answer:
        for line in answer.header(b"Set-Cookie"):
            name, _, value = line.split(b";")[0].decode().partition("=")
            self.cookies[name] = value
        return answer


@dataclass
class PageTimes:
    """Seconds of each visit by address (without query), and CPU seconds of web server and PostgreSQL in all visits.

    Addresses that do not exist in this version are left out.
    """

    times: dict[str, list[float]] = field(default_factory=dict)
    cpu: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, name: str, seconds: float, used: dict[str, float]) -> None:
        self.times[name].append(seconds)
        self.cpu[name] += used["web"] + used["Postgres"]

    def cpu_per_visit(self, name: str) -> float:
        return max(self.cpu[name] / len(self.times[name]), _TICK)

    def told(self, name: str) -> str:
        return f"p50 {ms(self.p50(name))}, p95 {ms(self.p95(name))}; CPU {ms(self.cpu_per_visit(name))}"

    def p95(self, name: str) -> float:
        return percentile(self.times.get(name, []), 0.95)

    def p50(self, name: str) -> float:
        return percentile(self.times.get(name, []), 0.5)


def signed_in(desk: BenchDesk) -> Visitor:
    """The session of a new admin of the organisation."""
    password = secrets.token_urlsafe(16)
    desk.manage("createadmin", "--email", EMAIL, ADMIN_PASSWORD=password)
    visitor = Visitor(desk.port)
    visitor.sign_in(password)
    return visitor


def visit_pages(desks: list[BenchDesk], visits: int) -> list[PageTimes]:
    """Every page and the parts it loads, over and over, the desks taking turns; the first turn is not counted."""
    tours = [Tour(desk, signed_in(desk)) for desk in desks]
    for turn in range(visits + 1):
        for name in tours[0].addresses:
            for tour in tours:
                tour.visit(name, counted=turn > 0)
    return [tour.found for tour in tours]


@dataclass
class Tour:
    """One desk's pages and what visiting them took."""

    desk: BenchDesk
    visitor: Visitor

    def __post_init__(self) -> None:
        self.addresses = _addresses(self.desk, self.visitor)
        self.found = PageTimes({name: [] for name in self.addresses})

    def visit(self, name: str, *, counted: bool) -> None:
        """One visit of a page. Raises DeskFailed when it is not answered with 200."""
        with cpu_used(self.desk) as used:
            began = perf_counter()
            answer = self.visitor.get(self.addresses[name])
            seconds = perf_counter() - began
        if answer.status != 200:
            raise DeskFailed(f"{self.addresses[name]}: {answer.status} {answer.body[:2000]!r}")
        if counted:
            self.found.add(name, seconds, used)


def _name(address: str) -> str:
    """The address without its query and without what names one trace."""
    return re.sub(r"^/(traces|conversations)/.*", r"/\1/…", urlsplit(address).path)


def _addresses(desk: BenchDesk, visitor: Visitor) -> dict[str, str]:
    """Name → address of the pages that exist, with the parts that they fetch when shown."""
    with desk.database() as database:
        team, trace, conversation = database.execute(_CURRENT_TRACE).fetchone() or ("", "", None)
    wanted = [f"{path}{_RANGE}" for path in _PAGES] + [f"/traces/{team}/{trace}"]
    wanted += [f"/conversations/{team}/{conversation}"] if conversation else []
    found: dict[str, str] = {}
    for address in wanted:
        answer = visitor.get(address)
        if answer.status == 404:
            continue
        found.setdefault(_name(address), address)
        for part in map(unescape, _PART.findall(answer.body.decode())):
            if part.startswith("/"):
                found.setdefault(_name(part), part)
    return found


def page_rows(few: PageTimes, many: PageTimes, small: int, size: int) -> list[Row]:
    """A row for each page that exists."""
    return [_page_row(name, few, many, small, size) for name in many.times]


def _page_row(name: str, few: PageTimes, many: PageTimes, small: int, size: int) -> Row:
    ratio = many.p95(name) / few.p95(name)
    return Row(
        f"page {name}",
        f"Page `{name}`, 30 days, {size:,} events",
        f"{small:,} events: {few.told(name)}",
        many.told(name),
        f"{ratio:.2f} (CPU {many.cpu_per_visit(name) / few.cpu_per_visit(name):.2f})",
        "p95 ≤ 1.5×, ≤ 100 ms",
        verdict(many.p95(name) <= TIME_GOAL, ratio <= RATIO_GOAL),
    )
