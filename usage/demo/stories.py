"""The three stories planted in the demo data, and today's blemish, as data.

Offsets count back from the end of the window (the moment `demo create` ran): `starts=-4 d` is four days before it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Story:
    """What happens to part of the traffic between two moments; `look_at` says where the desk shows it."""

    key: str
    title: str
    starts: timedelta
    ends: timedelta
    look_at: str

    def covers(self, at: datetime, window_end: datetime) -> bool:
        """True if `at` falls inside the story of a window that ends at `window_end`."""
        return self.starts <= at - window_end < self.ends

    def span(self, window_end: datetime) -> tuple[datetime, datetime]:
        """Start and end as moments."""
        return window_end + self.starts, window_end + self.ends


OUTAGE = Story(
    "outage",
    "OpenAI fails for fifty minutes; calls retry, then fall back to Anthropic",
    timedelta(days=-4, hours=-2),
    timedelta(days=-4, hours=-1, minutes=-10),
    "Incident view: provider openai, 5xx, time-outs and 429s; fallbacks and retries up, other providers unchanged",
)
BLOAT = Story(
    "bloat",
    "Prompt v14 of answer-drafting sends 2.6 times the input tokens until it is rolled back",
    timedelta(days=-9),
    timedelta(days=-7),
    "Spend explorer: feature answer-drafting by prompt version; tokens and cost per request, not volume",
)
RETRIEVAL = Story(
    "retrieval",
    "An index rebuild leaves retrieval empty for three hours while the models answer as fast as ever",
    timedelta(days=-2, hours=-5),
    timedelta(days=-2, hours=-2),
    "Product view: feature answer-box, empty retrieval and citations; model latency unchanged, people ask again",
)
BLEMISH = Story(
    "blemish",
    "Tenant northwind meets its rate limit a little more often than usual",
    timedelta(minutes=-50),
    timedelta(hours=12),
    "Incident view: 429s by tenant",
)
STORIES = (OUTAGE, BLOAT, RETRIEVAL, BLEMISH)

OUTAGE_PROVIDER = "openai"
# Share of the provider's attempts that fail, and how: (share, error type, HTTP status, milliseconds waited).
OUTAGE_FAILS = 0.72
OUTAGE_KINDS = (
    (0.5, "provider_5xx", 503, 1400),
    (0.3, "timeout", None, 30_000),
    (0.2, "rate_limit", 429, 240),
)
BLOAT_FEATURE = "answer-drafting"
BLOAT_FACTOR = 2.6
RETRIEVAL_FEATURES = frozenset({"answer-box", "site-search"})
RETRIEVAL_EMPTY = 0.8
RETRIEVAL_TURNS = 2.2
BLEMISH_TENANT = "northwind"
BLEMISH_FAILS = 0.14
