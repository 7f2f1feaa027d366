"""Mergeable counts of distinct ids: the k smallest of their hashes (KMV, Bar-Yossef et al. 2002; Beyer et al. 2007).

Below K distinct hashes all of them are kept, so the count is exact but for two ids that share a hash of 32 bits: that
happens once in about 2 000 sketches with 2 000 ids each, and it makes the count one too small. From K on, the K-th
smallest hash tells how densely hashes lie: (K - 1) / (that hash as a share of the range), unbiased, with a standard
error of 1 / sqrt(K - 2) = 2.2 %.

Packed: big-endian uint32 hashes. A hash may repeat, so putting two packed sketches behind each other merges them: in
SQL that is string_agg(column, '') or a || b. `compact` gives a set of ids the same bytes whatever way they were merged.
"""

import struct

import numpy as np

K = 2048
WIDTH = 4
SPACE = 2**32
_HASH = np.dtype(">u4")
# Up to so many entries, numpy's set-up would cost more than the work.
_FEW = 100


def pack_values(hashes: list[int]) -> bytes:
    """The compact sketch of some hashes (0 to 2^32 - 1), repeated or not."""
    kept = sorted(set(hashes))[:K]
    return struct.pack(f">{len(kept)}I", *kept)


def compact(packed: bytes) -> bytes:
    """The same sketch with its K smallest hashes once each, in order."""
    if len(packed) <= WIDTH:
        return packed
    if len(packed) < _FEW * WIDTH:
        return b"".join(sorted({packed[start : start + WIDTH] for start in range(0, len(packed), WIDTH)}))
    return np.unique(np.frombuffer(packed, _HASH))[:K].astype(_HASH).tobytes()


def count(packed: bytes | None) -> int:
    """How many distinct ids: exact below K, else an estimate with a standard error of 2.2 %."""
    hashes = np.frombuffer(compact(packed or b""), _HASH)
    return len(hashes) if len(hashes) < K else round((K - 1) / _share(hashes[-1]))


def count_only(packed: bytes | None, others: bytes | None) -> int:
    """How many distinct ids are in `packed` and not in `others`, from the hashes that both would have kept."""
    own, other = (np.frombuffer(compact(part or b""), _HASH) for part in (packed, others))
    full = [part[-1] for part in (own, other) if len(part) == K]
    only = np.setdiff1d(own, other)
    return round(int((only < min(full)).sum()) / _share(int(min(full)) - 1)) if full else len(only)


def _share(largest: int) -> float:
    """Which part of the range lies up to and including a hash."""
    return (int(largest) + 1) / SPACE
