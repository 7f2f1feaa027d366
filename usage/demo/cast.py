"""Who and what appears in the demo: models, features, tenants. All of it is made up except the public model names."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Model:
    """How a model answers. Times are medians in milliseconds."""

    provider: str
    name: str
    answers_as: str
    first_token_ms: float
    per_token_ms: float
    thinks: bool = False
    caches: bool = True


MODELS = {
    model.name: model
    for model in (
        Model("openai", "gpt-4o", "gpt-4o-2024-08-06", 420, 9),
        Model("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", 310, 7),
        Model("openai", "gpt-5", "gpt-5-2025-08-07", 700, 6, thinks=True),
        Model("openai", "o4-mini", "o4-mini-2025-04-16", 650, 5, thinks=True),
        Model("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", 780, 11),
        Model("anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001", 420, 6),
        Model("google", "gemini-2.5-flash", "gemini-2.5-flash", 340, 4.5),
        Model("mistral", "mistral-large-latest", "mistral-large-2411", 480, 11, caches=False),
        Model("mistral", "codestral-latest", "codestral-2508", 160, 4, caches=False),
        # Runs on own hardware, so no catalogue has a price for it: the "unpriced" page needs one such model.
        Model("vllm", "llama-3.3-70b-internal", "llama-3.3-70b-internal", 260, 15),
    )
}
EMBEDDING = ("openai", "text-embedding-3-small")

# Where a request goes when its own provider fails.
FALLBACKS = {
    "gpt-4o": "claude-sonnet-4-5",
    "gpt-4o-mini": "claude-haiku-4-5",
    "gpt-5": "claude-sonnet-4-5",
    "o4-mini": "claude-haiku-4-5",
}


@dataclass(frozen=True, slots=True)
class Feature:
    """One AI feature of a team. `per_hour` is the mean number of conversations that begin in an hour."""

    team: str
    name: str
    service: str
    endpoint: str
    per_hour: float
    rhythm: str
    stages: tuple[str, ...]
    models: tuple[tuple[str, float], ...]
    input_tokens: int
    output_tokens: int
    cost_center: str = ""
    turns: float = 1.0
    streaming: bool = False
    structured: bool = False
    tools: tuple[str, ...] = ()
    initiator: str = "user"
    cached_share: float = 0.0
    variants: tuple[str, ...] = ()
    has_tenants: bool = True
    regions: tuple[str, ...] = field(default=("eu-west-1", "eu-west-1", "us-east-1"))


FEATURES = (
    Feature(
        "support", "answer-drafting", "support-api", "/v1/drafts", 5.0, "office",
        ("retrieval", "rerank", "chat", "tool", "chat", "guardrail"),
        (("claude-sonnet-4-5", 0.7), ("gpt-4o", 0.3)), 2600, 310,
        cost_center="CC-4100", streaming=True, tools=("order_lookup", "crm_search", "refund_status"), cached_share=0.45,
    ),
    Feature(
        "support", "chat-assistant", "support-api", "/v1/chat", 3.6, "consumer",
        ("guardrail", "retrieval", "chat"),
        (("gpt-4o", 0.6), ("claude-haiku-4-5", 0.4)), 1500, 190,
        cost_center="CC-4100", turns=2.6, streaming=True, cached_share=0.5, regions=("eu-west-1", "us-east-1"),
    ),
    Feature(
        "support", "ticket-triage", "triage-worker", "/jobs/triage", 9.0, "office", ("chat",),
        (("gpt-4o-mini", 1.0),), 850, 60,
        cost_center="CC-4110", structured=True, initiator="system",
    ),
    Feature(
        "search", "answer-box", "answers", "/v1/answers", 9.0, "consumer",
        ("retrieval", "rerank", "chat"),
        (("gemini-2.5-flash", 0.75), ("gpt-4o-mini", 0.25)), 2100, 140,
        cost_center="CC-5200", turns=1.25, streaming=True, cached_share=0.25,
    ),
    Feature(
        "search", "site-search", "search-api", "/v1/search", 7.5, "consumer", ("embeddings", "retrieval", "rerank"),
        (("gemini-2.5-flash", 1.0),), 24, 0, cost_center="CC-5200",
    ),
    Feature(
        "search", "research-agent", "answers", "/v1/research", 1.6, "office",
        ("retrieval", "chat", "tool", "chat", "tool", "chat"),
        (("o4-mini", 0.7), ("gpt-5", 0.3)), 5200, 900,
        cost_center="CC-5210", tools=("web_fetch", "table_query"), cached_share=0.55, variants=("control", "deep"),
    ),
    Feature(
        "coding", "code-completion", "completion-gw", "/v1/complete", 34.0, "developer", (),
        (("codestral-latest", 1.0),), 1350, 42, cost_center="CC-6000", streaming=True, has_tenants=False,
    ),
    Feature(
        "coding", "code-review", "review-bot", "/hooks/pull-request", 3.2, "developer", ("chat", "tool", "chat"),
        (("gpt-5", 0.6), ("claude-sonnet-4-5", 0.4)), 9200, 780,
        cost_center="CC-6000", tools=("read_file", "run_tests"), cached_share=0.6, initiator="system",
        has_tenants=False,
    ),
    Feature(
        "coding", "docs-chat", "docs-bot", "/v1/docs-chat", 2.2, "developer", ("retrieval", "chat"),
        (("llama-3.3-70b-internal", 1.0),), 2400, 230, turns=1.8, streaming=True, cached_share=0.3, has_tenants=False,
    ),
    Feature(
        "growth", "email-copy", "campaigns", "/v1/copy", 4.5, "office", ("chat", "guardrail"),
        (("gpt-4o", 0.8), ("mistral-large-latest", 0.2)), 900, 420, variants=("control", "warm-tone"),
    ),
    Feature(
        "growth", "lead-scoring", "scoring-jobs", "/jobs/score", 14.0, "nightly", (),
        (("gpt-4o-mini", 1.0),), 1100, 38, cost_center="CC-7000", structured=True, initiator="system",
    ),
    Feature(
        "growth", "ad-variants", "campaigns", "/v1/ads", 3.0, "office", ("chat", "guardrail"),
        (("mistral-large-latest", 0.7), ("gemini-2.5-flash", 0.3)), 700, 260, cost_center="CC-7010", streaming=True,
    ),
)  # fmt: skip

# What the teams' providers allow: team, provider, model ("" for all of them), requests and tokens a minute. The others
# have no limit recorded, so that the pages have something unknown.
LIMITS: tuple[tuple[str, str, str, int, int | None], ...] = (
    ("support", "anthropic", "", 8, 40_000),
    ("support", "openai", "gpt-4o-mini", 10, None),
    ("search", "openai", "", 20, 40_000),
    ("coding", "openai", "gpt-5", 5, 60_000),
    ("growth", "openai", "gpt-4o-mini", 30, 45_000),
)

TEAMS = tuple(dict.fromkeys(feature.team for feature in FEATURES))

TENANTS = (
    "northwind", "acme-retail", "globex", "initech", "umbra-health", "stark-supply", "wayne-logistics", "wonka-foods",
    "tyrell-bio", "cyberdyne", "soylent", "hooli", "pied-piper", "vandelay", "duff-drinks", "oscorp", "gringotts-pay",
    "monarch-labs", "aperture", "black-mesa", "sirius-air", "virtucon", "zorin-chips", "massive-dyn", "bluth-homes",
    "dunder-paper", "sterling-ads", "kruger-bank", "prestige-ww", "gekko-invest", "nakatomi", "omni-consumer",
    "weyland", "yoyodyne", "buynlarge", "rekall-travel", "spacely", "cogswell", "planet-express", "mom-friendly",
)  # fmt: skip
# Zipf: the n-th tenant brings 1/n of the traffic of the first.
TENANT_WEIGHTS = tuple(1 / (rank + 1) for rank in range(len(TENANTS)))

ENVIRONMENTS = (("prod", 0.91), ("staging", 0.06), ("dev", 0.03))
