"""HTTP to addresses that people entered: never into the private network, within a time, a size, and no redirect.

The address is checked where it cannot change any more: when a socket connects (an audit hook, PEP 578). So a name that
resolves to something else a moment later, a redirect, and whatever another library connects to are all held to it.
"""

import ipaddress
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import urllib3
from django.conf import settings

CONNECT_SECONDS = 5.0
MOST_BYTES = 64 * 1024
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Refused(ValueError):
    """The desk does not connect there: not an address for HTTP, or a private one."""


class Unreachable(OSError):
    """No answer in time, or none that is HTTP."""


@dataclass(frozen=True)
class Answer:
    """What came back. `body`: at most as many bytes as asked for, `whole` whether that is all of it."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool
    seconds: float


@dataclass
class _Guard:
    """Second handles of the sockets made under it, as TLS takes the first away; and whether its time is over."""

    sockets: list[socket.socket] = field(default_factory=list)
    over: bool = False

    def shut(self) -> None:
        self.over = True
        for one in self.sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        for one in self.sockets:
            one.close()


_guard: ContextVar[_Guard | None] = ContextVar("guard of outgoing connections", default=None)
_hooked = threading.Event()


def is_allowed(address: str) -> bool:
    """Whether the desk may connect to this IP address: a public one, or in OUTBOUND_ALLOWED_NETWORKS."""
    found = _innermost(ipaddress.ip_address(address.partition("%")[0]))
    networks = [ipaddress.ip_network(text, strict=False) for text in settings.OUTBOUND_ALLOWED_NETWORKS]
    return (found.is_global and not found.is_multicast) or any(found in network for network in networks)


def _innermost(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address inside of an IPv6 one that only carries it."""
    if address.version == 4:
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


@contextmanager
def guarded(seconds: float) -> Iterator[None]:
    """Within it this thread's sockets connect to allowed addresses only, and are shut when `seconds` are over.

    Raises Refused where one is not allowed, as does whatever connects; Unreachable when the time is over.
    """
    if not _hooked.is_set():
        _hooked.set()
        sys.addaudithook(_on_event)
    guard = _Guard()
    timer = threading.Timer(seconds, guard.shut)
    timer.daemon = True
    token = _guard.set(guard)
    timer.start()
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        if guard.over:
            raise _too_late(seconds) from error
        raise
    finally:
        _guard.reset(token)
        timer.cancel()
        guard.leave()
    if guard.over:
        raise _too_late(seconds)


def _too_late(seconds: float) -> Unreachable:
    return Unreachable(f"No whole answer within {seconds:g} s.")


def _on_event(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and (guard := _guard.get()) is not None:
        _check(args[1])
        guard.sockets.append(args[0].dup())


def _check(address: Any) -> None:
    """Raises Refused; a name instead of an address is refused too, as only the kernel would know where it leads."""
    host = address[0] if isinstance(address, tuple) else str(address)
    try:
        allowed = is_allowed(host)
    except ValueError:
        allowed = False
    if not allowed:
        raise Refused(f"{host} is a private address. OUTBOUND_ALLOWED_NETWORKS lists those the desk may reach.")


def check_url(url: str) -> None:
    """Raises Refused for what is no http(s) URL with a host, or carries a user name; nothing is resolved."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Refused("This is not a valid address.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Refused("The address must begin with https:// or http:// and name a host.")
    if parts.username is not None or parts.password is not None:
        raise Refused("The address must not hold a user name or password; use a header.")


def request(
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    seconds: float = 10.0,
    most_bytes: int = MOST_BYTES,
) -> Answer:
    """Send one request and read the answer: `seconds` for all of it, redirects are answers like any other.

    Raises Refused for an address that is no URL or private, Unreachable where no answer comes in time.
    """
    check_url(url)
    began = time.monotonic()
    limits = urllib3.Timeout(connect=min(CONNECT_SECONDS, seconds), read=seconds)
    with urllib3.PoolManager(retries=False, timeout=limits) as pool, guarded(seconds):
        try:
            answer = pool.request(method, url, headers=headers, body=body, redirect=False, preload_content=False)
            with answer:
                content = answer.read(most_bytes + 1, decode_content=True)
        except (urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
            raise _too_late(seconds) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(_reason(error)) from error
    found = {name.lower(): value for name, value in answer.headers.items()}
    spent = time.monotonic() - began
    return Answer(answer.status, found, content[:most_bytes], len(content) <= most_bytes, spent)


def _reason(error: Exception) -> str:
    """In a few words, without the address: that may hold a secret."""
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "The name of the host is not known."
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "No connection in time."
    if isinstance(error, urllib3.exceptions.SSLError):
        return "The certificate or the TLS connection is not in order."
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "The connection was refused or the host cannot be reached."
    return "The connection broke off, or the answer was not HTTP."
