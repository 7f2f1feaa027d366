"""Opening a trace file, compressed or not."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def lines_of(path: Path) -> Iterator[IO[str]]:
    """The file's text, gunzipped if its name ends in .gz."""
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as text:
        yield text
