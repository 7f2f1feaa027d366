"""Directories and the system user of the embedded servers: private, short enough for a socket, and reachable."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

ROOTS_SERVER_USER = "aiops_desk"
LONGEST_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS, 108 on Linux


class PlaceError(Exception):
    """A directory or the system user cannot be had; the message says what to do."""


def server_user() -> str | None:
    """System user the server must run as: one of its own when we are root (PostgreSQL refuses root), else ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(ROOTS_SERVER_USER)
    except KeyError:
        add_system_user(ROOTS_SERVER_USER)
    return ROOTS_SERVER_USER


def add_system_user(name: str) -> None:
    """Make the system user `name` without a login or a home. Raises PlaceError."""
    made = shutil.which("useradd") and subprocess.run(
        ["useradd", "--system", "--no-create-home", "--home-dir", "/", "--shell", "/usr/sbin/nologin", name],
        capture_output=True,
        text=True,
    )
    if not made or made.returncode not in (0, 9):  # 9: somebody else made it just now
        raise PlaceError(
            f"PostgreSQL does not run as root, and the system user {name} could not be made. "
            f"Make it, run the desk as an ordinary user, or set DATABASE_URL."
        )


def identity(user: str | None) -> dict[str, Any]:
    """Arguments of subprocess that make the process `user` and nobody of root's groups; none for None."""
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}


def socket_directory(data_dir: Path, kind: str, socket_name: str) -> Path:
    """Directory for a socket: in DATA_DIR, or in the temporary directory when that path is too long for a socket."""
    place = data_dir / "run" / kind
    if len(str(place / socket_name)) < LONGEST_SOCKET_PATH:
        return place
    name = hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"aiops-desk-{name}-{kind}"


def own_directory(path: Path, user: str | None) -> None:
    """Make `path` private to `user` (None: to ourselves). Refuses a directory that somebody else put there."""
    path.mkdir(parents=True, exist_ok=True)
    owner = pwd.getpwnam(user).pw_uid if user else os.geteuid()
    if path.is_symlink() or path.stat().st_uid not in (owner, os.geteuid()):
        raise PlaceError(f"{path} belongs to another user. Remove it or choose another DATA_DIR.")
    os.chown(path, owner, -1)
    path.chmod(0o700)


def open_path(path: Path) -> None:
    """Let other users pass through (not list) the directories down to `path`, as the server's user must."""
    for place in [path, *path.parents]:
        mode = place.stat().st_mode
        if not mode & stat.S_IXOTH:
            place.chmod(mode | stat.S_IXOTH)


def open_tree(root: Path) -> None:
    """Let other users read the server's files, which an installation under umask 077 has closed."""
    for path in [root, *root.rglob("*")]:
        mode = path.stat().st_mode
        wanted = stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if mode & wanted != wanted:
            path.chmod(mode | wanted)
