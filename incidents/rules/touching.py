"""Whether two slices of the traffic have calls in common. Pure."""

from collections.abc import Collection, Mapping


def touches(one: Mapping[str, Collection[str]], other: Mapping[str, Collection[str]]) -> bool:
    """False where both name a dimension and share no value of it; what one leaves open may be anything."""
    return all(set(values) & set(other[name]) for name, values in one.items() if values and other.get(name))
