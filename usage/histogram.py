"""Mergeable latency histograms: logarithmic buckets, packed into bytes.

Bucket i holds the values in (GAMMA^(i-1), GAMMA^i] milliseconds, bucket 0 those up to 1 ms. Reporting a bucket by
2·GAMMA^i / (GAMMA + 1) is off by at most (GAMMA - 1) / (GAMMA + 1) = 1.96 % (the DDSketch bound, Masson et al. 2019).

Packed: entries of a big-endian uint16 bucket and uint32 count. An entry may repeat, so putting two packed histograms
behind each other merges them: in SQL that is string_agg(column, '') or a || b.
"""

import struct
from bisect import bisect_left
from collections import Counter

import numpy as np

GAMMA = 1.04
# GAMMA^i for every bucket up to a day (86 400 000 ms is in bucket 466).
BOUNDS = [GAMMA**number for number in range(480)]
_BOUNDS = np.array(BOUNDS)
_ENTRY = struct.Struct(">HI")
ENTRY = np.dtype([("bucket", ">u2"), ("count", ">u4")])
_LARGEST = 2**32 - 1
FEW = 100


def pack_values(values: list[int]) -> bytes:
    """The packed histogram of some milliseconds (at least one)."""
    if len(values) < FEW:
        return _pack_few(Counter(bisect_left(BOUNDS, value) for value in values))
    return _pack(np.bincount(np.searchsorted(_BOUNDS, np.array(values))))


def compact(packed: bytes) -> bytes:
    """The same histogram with one entry per bucket, in order."""
    if len(packed) <= ENTRY.itemsize:
        return packed
    if len(packed) < FEW * ENTRY.itemsize:
        total: Counter[int] = Counter()
        for bucket, count in _ENTRY.iter_unpack(packed):
            total[bucket] += count
        return _pack_few(total) if max(total.values()) <= _LARGEST else _pack(counts(packed))
    return _pack(counts(packed))


def counts(packed: bytes) -> np.ndarray:
    """Values per bucket, as whole float64 (exact below 2^53), indexed by bucket."""
    entries = np.frombuffer(packed, ENTRY)
    return np.bincount(entries["bucket"], entries["count"])


def quantile(packed: bytes | None, q: float, without: bytes | None = None) -> float | None:
    """The q-quantile (nearest rank) in ms, off by at most 1.96 %; None when nothing was counted.

    Of the values in `packed` but for those in `without`, which are some of them.
    """
    if not packed:
        return None
    values = counts(packed)
    if without:
        fewer = counts(without)
        values[: len(fewer)] -= fewer
    bucket = bucket_of(values, q)
    return None if bucket is None else middle(bucket)


def sizes(packed: bytes) -> np.ndarray:
    """`counts` over every bucket there can be, so that histograms can be added."""
    entries = np.frombuffer(packed, ENTRY)
    return np.bincount(entries["bucket"], entries["count"], minlength=len(BOUNDS))


def bucket_of(values: np.ndarray, q: float) -> int | None:
    """The bucket that holds the q-quantile of values counted by bucket; None when nothing was counted."""
    cumulated = np.cumsum(values)
    if not len(cumulated) or not cumulated[-1]:
        return None
    return int(np.searchsorted(cumulated, max(np.ceil(q * cumulated[-1]), 1)))


def middle(bucket: int) -> float:
    """What a bucket is reported by, in ms."""
    return 1.0 if bucket == 0 else 2 * BOUNDS[bucket] / (GAMMA + 1)


def _pack_few(per_bucket: Counter[int]) -> bytes:
    """What `_pack` does, for so few entries that numpy's set-up would cost more than the work."""
    return b"".join(_ENTRY.pack(bucket, count) for bucket, count in sorted(per_bucket.items()))


def _pack(per_bucket: np.ndarray) -> bytes:
    buckets = np.flatnonzero(per_bucket)
    totals = per_bucket[buckets].astype(np.uint64)
    entries = np.empty(len(buckets), ENTRY)
    entries["bucket"], entries["count"] = buckets, np.minimum(totals, _LARGEST)
    rest = np.where(totals > _LARGEST, totals - np.minimum(totals, _LARGEST), 0)
    more = np.zeros(len(per_bucket))
    more[buckets] = rest
    return entries.tobytes() + (_pack(more) if rest.any() else b"")
