"""Reading a request body: never more than the limit, packed or not, and never more than the process can hold."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import zstandard
from isal import isal_zlib

from usage.ingest.problems import BodyRefused

STEP = 1 << 20
# One zstd block is at most 128 kB and at least 4 bytes of input, so this much input gives at most 8 MB of output.
_ZSTD_STEP = 256
_ZSTD_WINDOW = 1 << 23
# What follows a member is copied at its end, so input is fed in small pieces, lest many small members cost its square.
_GZIP_STEP = 1 << 14
# Every member or frame, however small, costs a new unpacker; a body of nothing else would hold a thread for minutes.
MAX_MEMBERS = 10_000
_NOT_ZERO = re.compile(rb"[^\0]")
ENCODINGS = ("gzip", "zstd")


class Stream(Protocol):
    """What a body is read from."""

    def read(self, size: int, /) -> bytes: ...


class Overloaded(Exception):
    """The process holds as many bytes of bodies as it may."""


@dataclass
class Budget:
    """Bytes of request bodies a process may hold at once, over all its threads."""

    limit: int
    held: int = 0
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Yields a function that takes bytes from the budget (raises Overloaded); all are given back at the end."""
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            with self._lock:
                if self.held + count > self.limit:
                    raise Overloaded
                self.held += count
            taken += count

        try:
            yield take
        finally:
            with self._lock:
                self.held -= taken


def read_body(stream: Stream, *, length: int | None, encoding: str, limit: int, take: Callable[[int], None]) -> bytes:
    """The body, unpacked. `length` is the Content-Length, None for a chunked request.

    Raises BodyRefused (413 too large, 415 unknown encoding, 400 cut off or corrupt) and Overloaded.
    """
    coding = encoding.strip().lower()
    if coding not in ("", "identity", "x-gzip", *ENCODINGS):
        raise BodyRefused(
            415,
            "unsupported_encoding",
            f"Content-Encoding '{encoding[:50]}' is not supported.",
            f"Send one of {', '.join(ENCODINGS)}, or no encoding.",
            "Content-Encoding",
        )
    if length is not None and length > limit:
        raise _too_large(limit)
    raw = _read(stream, length, limit, take)
    if coding in ("gzip", "x-gzip"):
        return _joined(_gunzip(raw), limit, take)
    return _unzstd(raw, limit, take) if coding == "zstd" else raw


def _too_large(limit: int) -> BodyRefused:
    return BodyRefused(
        413,
        "body_too_large",
        f"The body is larger than {limit} bytes (counted after decompression).",
        "Send smaller batches; 500 to 2,000 events work best.",
    )


def _corrupt(encoding: str, why: str) -> BodyRefused:
    return BodyRefused(
        400,
        "bad_encoding",
        f"The body is not valid {encoding}: {why}.",
        f"Check that the body is {encoding} and was sent whole.",
        "Content-Encoding",
    )


def _read(stream: Stream, length: int | None, limit: int, take: Callable[[int], None]) -> bytes:
    parts: list[bytes] = []
    left = limit + 1 if length is None else length
    while left and (part := stream.read(min(STEP, left))):
        take(len(part))
        left -= len(part)
        parts.append(part)
    if length is None and not left:
        raise _too_large(limit)
    if length is not None and left:
        raise BodyRefused(
            400, "body_cut_off", f"The body ended {left} bytes short of its Content-Length.", "Send it again."
        )
    return b"".join(parts)


def _joined(pieces: Iterator[bytes], limit: int, take: Callable[[int], None]) -> bytes:
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        take(len(piece))
        parts.append(piece)
    return b"".join(parts)


def _gunzip(raw: bytes) -> Iterator[bytes]:
    """The members of a gzip file one after the other, in pieces of at most STEP bytes."""
    at = 0
    for _ in range(MAX_MEMBERS):
        unpacker = isal_zlib.decompressobj(wbits=16 + isal_zlib.MAX_WBITS)
        while at < len(raw) and not unpacker.eof:
            fed = raw[at : at + _GZIP_STEP]
            yield from _inflated(unpacker, fed)
            at += len(fed) - len(unpacker.unused_data)
        if not unpacker.eof:
            raise _corrupt("gzip", "it is cut off")
        at = _padded(raw, at)
        if at == len(raw):
            return
    raise _corrupt("gzip", f"it has more than {MAX_MEMBERS} members")


def _inflated(unpacker, fed: bytes) -> Iterator[bytes]:
    try:
        yield unpacker.decompress(fed, STEP)
        while not unpacker.eof and (piece := unpacker.decompress(unpacker.unconsumed_tail, STEP)):
            yield piece
    except isal_zlib.error as exc:  # type: ignore[misc]  # an exception, but untyped
        raise _corrupt("gzip", str(exc)) from exc


def _padded(raw: bytes, at: int) -> int:
    """Where the zeros that may follow a member end."""
    found = _NOT_ZERO.search(raw, at)
    return found.start() if found else len(raw)


def _unzstd(raw: bytes, limit: int, take: Callable[[int], None]) -> bytes:
    try:
        size = zstandard.frame_content_size(raw)
        if size > limit:
            raise _too_large(limit)
        return _one_frame(raw, size, take) or _joined(_frames(raw), limit, take)
    except zstandard.ZstdError as exc:
        raise _corrupt("zstd", str(exc)) from exc


def _one_frame(raw: bytes, size: int, take: Callable[[int], None]) -> bytes:
    """The usual case in one call: a single frame that says its size; b"" where the body is something else."""
    if size <= 0:
        return b""
    take(size)
    try:
        return zstandard.ZstdDecompressor().decompress(raw, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError:
        return b""


def _frames(raw: bytes) -> Iterator[bytes]:
    """The frames of a zstd body one after the other, in pieces bounded by _ZSTD_STEP."""
    at = 0
    for _ in range(MAX_MEMBERS):
        unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        while at < len(raw) and not unpacker.eof:
            fed = raw[at : at + _ZSTD_STEP]
            yield unpacker.decompress(fed)
            at += len(fed) - len(unpacker.unused_data)
        if not unpacker.eof:
            raise _corrupt("zstd", "it is cut off")
        if at == len(raw):
            return
    raise _corrupt("zstd", f"it has more than {MAX_MEMBERS} frames")
