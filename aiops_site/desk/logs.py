"""What the children say: every line to a bounded file, most of them to the terminal with the child's name in front."""

import logging
import os
import sys

from aiops_site.desk.children import Child

COLOURS = {"web": 36, "beat": 35, "migrate": 33, "demo": 33}
LONGEST_LINE = 64 * 1024


class Console:
    """The terminal; goes silent when nobody reads it any more (`make run | head`)."""

    def __init__(self) -> None:
        self.colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.gone = False

    def say(self, text: str) -> None:
        """Print a message of the desk itself."""
        if self.gone:
            return
        try:
            print(text, flush=True)  # noqa: T201 - this is the program's output
        except OSError:
            self.gone = True

    def line(self, name: str, text: str) -> None:
        """Print a child's line."""
        label = f"{name:<15} | "
        self.say(f"\x1b[{COLOURS.get(name, 34)}m{label}\x1b[0m{text}" if self.colour else label + text)


def take_output(child: Child, console: Console) -> bool:
    """Move what the child has written to its log, tail and the terminal. False at the end of its output."""
    try:
        chunk = os.read(child.pipe.fileno(), 65536)
    except BlockingIOError:
        return True
    *lines, rest = (child.unfinished_line + chunk).split(b"\n")
    if not chunk or len(rest) > LONGEST_LINE:
        lines, rest = [*lines, rest] if rest else lines, b""
    child.unfinished_line = rest
    for line in lines:
        keep(child, line.decode(errors="replace"), console)
    return bool(chunk)


def keep(child: Child, text: str, console: Console) -> None:
    """Record one line of a child."""
    child.tail.append(text)
    child.log.emit(logging.LogRecord(child.service.name, logging.INFO, "", 0, text, None, None))
    if not child.service.quiet:
        console.line(child.service.name, text)
