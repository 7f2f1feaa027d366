"""Names that telemetry gives to providers, as ids of the genai-prices package, and model names freed of prefixes."""

# OpenTelemetry GenAI values (today's and earlier ones), LiteLLM's and Langfuse's names where the package has no match
# or would match the wrong provider ("azure.ai.openai" contains "openai").
PROVIDERS = {
    "azure.ai.openai": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "az.ai.inference": "azure",
    "azure_openai": "azure",
    "azure-openai": "azure",
    "azure_ai": "azure",
    "azure_text": "azure",
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "amazon_bedrock": "aws",
    "gcp.vertex_ai": "google",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "vertexai": "google",
    "gemini": "google",
    "google_genai": "google",
    "palm": "google",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "codestral": "mistral",
    "together_ai": "together",
    "togetherai": "together",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "fireworksai": "fireworks",
    "cohere_chat": "cohere",
    "cohere_ai": "cohere",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "deep_seek": "deepseek",
    "perplexity_ai": "perplexity",
    "voyage": "voyageai",
    "voyage_ai": "voyageai",
    "zhipu": "zhipuai",
    "zai_org": "zai",
    "z_ai": "zai",
    "z.ai": "zai",
    "open_router": "openrouter",
    "anthropic_text": "anthropic",
    "text-completion-openai": "openai",
    "openai_chat": "openai",
    "openai_responses": "openai",
}

# Ways a name is written before the model itself: Gemini's resource names, LiteLLM's Bedrock routes.
_RESOURCE_PREFIXES = ("models/", "publishers/google/models/", "publishers/anthropic/models/", "converse/", "invoke/")


def normal(name: str) -> str:
    """How prices and telemetry names are compared: trimmed, lower case."""
    return name.strip().lower()


def bare_model(model: str) -> str:
    """The model name without a resource prefix."""
    for prefix in _RESOURCE_PREFIXES:
        model = model.removeprefix(prefix)
    return model
