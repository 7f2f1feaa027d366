"""Where a failover sends calls: a provider that has the model asked for, or a provider with a model of its own."""


def target(entry: str) -> tuple[str, str]:
    """(provider, model) of "azure" or "anthropic/claude-sonnet-4-5"; '' is the model asked for.

    A provider has no slash in its name; a model may.
    """
    provider, _, model = entry.partition("/")
    return provider.strip(), model.strip()
