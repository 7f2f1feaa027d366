"""Reading mergeable latency histograms (usage.measures: GAMMA, bucket_sql) with numpy."""

import numpy as np
import psycopg.types.array  # noqa: F401  registers the array types' oids
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format

from usage.measures import GAMMA

INT2_ARRAY, INT8_ARRAY = 1005, 1016
# ceil(ln(86 400 000 ms) / ln(GAMMA)) = 467 buckets hold everything up to a day.
SIZE = 480
_HEADER = 20  # ndim, flags, element oid, length, lower bound: five int32


class _ArrayLoader(Loader):
    """A one-dimensional binary array without NULLs as a numpy array."""

    format = Format.BINARY
    element: np.dtype

    def load(self, data: Buffer) -> np.ndarray:
        return np.frombuffer(data, dtype=self.element, offset=_HEADER)["value"]


class Int2ArrayLoader(_ArrayLoader):
    element = np.dtype([("length", ">i4"), ("value", ">i2")])


class Int8ArrayLoader(_ArrayLoader):
    element = np.dtype([("length", ">i4"), ("value", ">i8")])


def register(cursor) -> None:
    """Make a psycopg cursor (binary=True) return histogram columns as numpy arrays."""
    cursor.adapters.register_loader(INT2_ARRAY, Int2ArrayLoader)
    cursor.adapters.register_loader(INT8_ARRAY, Int8ArrayLoader)


class Histogram:
    """Counts per bucket, added up lazily. `quantile` gives milliseconds."""

    def __init__(self) -> None:
        self._numbers: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []

    def add(self, numbers: np.ndarray, counts: np.ndarray) -> None:
        self._numbers.append(numbers)
        self._counts.append(counts)

    def counts(self) -> np.ndarray:
        """Values per bucket, shape (SIZE,), float64 (exact below 2^53)."""
        if not self._numbers:
            return np.zeros(SIZE)
        return np.bincount(np.concatenate(self._numbers), np.concatenate(self._counts), minlength=SIZE)

    def quantile(self, q: float) -> float | None:
        """The q-quantile in ms, off by at most 1.96 %; None when nothing was counted."""
        cumulated = np.cumsum(self.counts())
        if not cumulated[-1]:
            return None
        bucket = int(np.searchsorted(cumulated, max(q * cumulated[-1], 1)))
        return bucket_value(bucket)


def bucket_value(bucket: int) -> float:
    """The value in ms a bucket is reported as: the point equally far, relatively, from both its ends."""
    return 1.0 if bucket == 0 else 2 * GAMMA**bucket / (GAMMA + 1)
