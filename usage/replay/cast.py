"""What the traces do not say and the replay makes up: names, models, users, latency, status. MADE_UP lists it."""

import hashlib
from dataclasses import dataclass, field

from usage.replay.draws import key_of

MADE_UP = (
    "team, service, feature, environment, cost centre and user of each client",
    "provider and model behind the masked tiers",
    "latency and time to first token (model of first token + per token, log-normal noise)",
    "status: 1.8 % errors (the base rate of BurstGPT), placed and typed by draw",
    "share of cached input where the trace has none (quantiles of the Mooncake trace)",
)
ERROR_RATE = 0.018


@dataclass(frozen=True, slots=True)
class Model:
    """A catalogue model that stands for a masked tier. Times in milliseconds."""

    provider: str
    name: str
    first_token_ms: float
    per_token_ms: float
    caches: bool = True


GPT_4O = Model("openai", "gpt-4o", 420, 9)
GPT_4O_MINI = Model("openai", "gpt-4o-mini", 310, 7)
SONNET = Model("anthropic", "claude-sonnet-4-5", 780, 11)
HAIKU = Model("anthropic", "claude-haiku-4-5", 420, 6)
GEMINI_PRO = Model("google", "gemini-2.5-pro", 900, 8)
GEMINI_FLASH = Model("google", "gemini-2.5-flash", 340, 4.5)
GEMINI_LITE = Model("google", "gemini-2.5-flash-lite", 240, 3)
MISTRAL = Model("mistral", "mistral-small-latest", 280, 6, caches=False)
CODESTRAL = Model("mistral", "codestral-latest", 160, 4, caches=False)
DEEPSEEK = Model("deepseek", "deepseek-reasoner", 1200, 14)

TIERS = {
    "m-large": (GPT_4O, SONNET, GEMINI_PRO),
    "m-mid": (GPT_4O_MINI, HAIKU, GEMINI_FLASH),
    "m-small": (GEMINI_LITE, GPT_4O_MINI, MISTRAL),
    "deepseek-r1": (DEEPSEEK,),
}
# Feature → endpoint and cost centre; one has none, as in real life.
_FEATURES = {
    "assistant": ("/v1/chat", "CC-100"),
    "summaries": ("/v1/summaries", "CC-100"),
    "translation": ("/v1/translate", "CC-200"),
    "classification": ("/v1/classify", "CC-200"),
    "extraction": ("/v1/extract", None),
    "code-completion": ("/v1/complete", "CC-300"),
}
_ENVIRONMENTS = ("prod",) * 8 + ("staging", "dev")
_USERS = 200


@dataclass(frozen=True, slots=True)
class Client:
    """One calling application of a trace. `team` is the number of the API key its events are sent with."""

    id: str
    team: int
    tenant: str
    service: str
    feature: str
    endpoint: str
    cost_center: str | None
    environment: str
    model: Model
    users: tuple[str, ...] = field(repr=False)


def client(*, trace: str, name: str, models: tuple[Model, ...], teams: int, feature: str = "") -> Client:
    """A client with made-up attributes: the same name gets the same ones in every run."""
    key = key_of("client", trace, name)
    feature = feature or tuple(_FEATURES)[key % len(_FEATURES)]
    endpoint, cost_center = _FEATURES[feature]
    return Client(
        id=f"{trace}-{name}",
        team=(key >> 8) % teams,
        tenant=f"tenant-{name}",
        service=f"replay-{trace}",
        feature=feature,
        endpoint=endpoint,
        cost_center=cost_center,
        environment=_ENVIRONMENTS[(key >> 16) % len(_ENVIRONMENTS)],
        model=models[(key >> 24) % len(models)],
        users=tuple(_user_hash(trace, name, number) for number in range(_USERS)),
    )


def _user_hash(trace: str, name: str, number: int) -> str:
    return hashlib.sha256(f"user|{trace}|{name}|{number}".encode()).hexdigest()[:32]
