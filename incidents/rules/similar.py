"""How alike two incidents are: failure mode, slice, words. Pure."""

from collections.abc import Mapping, Sequence

MODE, SLICE, TEXT = 0.4, 0.3, 0.3
LEAST = 0.35


def overlap(ours: Mapping[str, Sequence[str]], theirs: Mapping[str, Sequence[str]]) -> float:
    """Share of the values of both slices that both have (Jaccard), 0 to 1; 0 where one of them is everything."""
    mine, other = ({(name, value) for name, values in scope.items() for value in values} for scope in (ours, theirs))
    return len(mine & other) / len(mine | other) if mine and other else 0.0


def likeness(same_mode: bool, slices: float, texts: float) -> float:
    """0 to 1: two fifths the failure mode, the rest slice and words alike."""
    return MODE * same_mode + SLICE * slices + TEXT * texts
