"""Random draws by key instead of by state: any event of a trace can be made again alone, in any order, on any machine.

One SHA-256 per (seed, client, window) gives a 64-bit key; SplitMix64 turns key + number + field into one draw. That is
vectorised over a whole window: about a hundred times faster than one SHA-256 per draw, and as repeatable.
"""

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_FIELDS = 64  # draws one event may have


def key_of(*parts: object) -> int:
    """A 64-bit key of the parts."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8], "big")


def bits(keys: np.ndarray, numbers: np.ndarray, field: int) -> np.ndarray:
    """64 random bits each: uint64 `keys` and event `numbers` of equal length, one `field` (0 to 63)."""
    z = keys + (numbers.astype(np.uint64) * np.uint64(_FIELDS) + np.uint64(field + 1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def uniform(keys: np.ndarray, numbers: np.ndarray, field: int) -> np.ndarray:
    """One number in (0, 1) each, never exactly 0 or 1, so that logarithms are safe."""
    return ((bits(keys, numbers, field) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normal(keys: np.ndarray, numbers: np.ndarray, field: int) -> np.ndarray:
    """One standard normal number each (Box-Muller over `field` and `field + 1`)."""
    radius = np.sqrt(-2.0 * np.log(uniform(keys, numbers, field)))
    return radius * np.cos(2.0 * np.pi * uniform(keys, numbers, field + 1))
