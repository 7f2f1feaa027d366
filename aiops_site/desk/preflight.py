"""What must hold before anything starts; each refusal says what is wrong and what to do."""

import fcntl
import json
import os
import shutil
import socket
from pathlib import Path
from typing import IO

MINIMUM_FREE_BYTES = 500 * 1024**2


class Refusal(Exception):
    """The desk cannot start; the message is for the person at the terminal."""


def parse_port(text: str) -> int:
    """The port as a number 1..65535, or a Refusal."""
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise Refusal(f"PORT={text} is not a port: choose a number from 1 to 65535, e.g. PORT=8000.")
    return int(text)


def check_data_dir(data_dir: Path) -> None:
    """Make DATA_DIR and try a write in it."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = data_dir / f".write-test-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise Refusal(
            f"DATA_DIR {data_dir} cannot be written: {error.strerror}. Choose another: make run DATA_DIR=/path"
        ) from error


def check_disk(data_dir: Path) -> None:
    """Refuse to start a database on a disk that is nearly full."""
    free = shutil.disk_usage(data_dir).free
    if free < MINIMUM_FREE_BYTES:
        raise Refusal(
            f"Only {free // 1024**2} MB are free where DATA_DIR is ({data_dir}); the desk needs at least "
            f"{MINIMUM_FREE_BYTES // 1024**2} MB to start. Free some space or choose another: make run DATA_DIR=/path"
        )


def check_port(bind: str, port: int) -> None:
    """Refuse a port that somebody listens on, or that this user may not open."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except PermissionError as error:
            raise Refusal(f"Port {port} needs root. Choose one above 1023: make run PORT=8000") from error
        except OSError as error:
            raise Refusal(
                f"Port {port} on {bind} cannot be used: {error.strerror}. "
                f"Choose another: make run PORT={port % 65535 + 1}"
            ) from error


def lock(data_dir: Path) -> IO[str]:
    """Take DATA_DIR for this desk; the lock goes with the process, however it ends.

    Refuses, naming the URL and process id, while another desk runs on the same DATA_DIR.
    """
    held = (data_dir / "desk.lock").open("a+")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise Refusal(already_running(data_dir)) from error
    return held


def already_running(data_dir: Path) -> str:
    """Sentence naming the desk that holds DATA_DIR, as far as it has said who it is."""
    try:
        state = json.loads((data_dir / "desk.json").read_text())
        who = f"at {state['url']} (process {state['pid']}). Stop it with Ctrl-C there, or: kill {state['pid']}"
    except (OSError, ValueError, KeyError):
        who = "and is just starting or stopping. Try again in a moment"
    return f"A desk already runs on {data_dir} {who}.\nA second desk needs its own place: make run PORT=… DATA_DIR=…"
