"""Tells how a replay goes: a bar that redraws itself on a terminal, a line now and then elsewhere."""

import time
from typing import IO

_WIDTH = 28
_EVERY_TTY_S, _EVERY_S = 0.25, 10.0


class Progress:
    """Plain text to `out`. `total` is the number of events expected; it may be a little off for scaled traces."""

    def __init__(self, out: IO[str], total: int, done: int):
        self.out = out
        self.total = max(1, total)
        self.before = done
        self.began = time.monotonic()
        self.tty = out.isatty()
        self.every = _EVERY_TTY_S if self.tty else _EVERY_S
        self.told = 0.0

    def tick(self, counts: dict[str, int]) -> None:
        """Shows the counts if it is time to."""
        if time.monotonic() - self.told >= self.every:
            self.show(counts)

    def show(self, counts: dict[str, int], *, last: bool = False) -> None:
        """Shows the counts now; `last` ends the line."""
        self.told = time.monotonic()
        text = self.line(counts, self.told - self.began)
        if self.tty:
            self.out.write(f"\r{text}\x1b[K" + ("\n" if last else ""))
        else:
            self.out.write(text + "\n")
        self.out.flush()

    def line(self, counts: dict[str, int], seconds: float) -> str:
        """The line for these counts after so many seconds."""
        done = sum(counts.values())
        rate = (done - self.before) / seconds if seconds > 0 else 0.0
        share = min(1.0, done / self.total)
        bar = "#" * round(share * _WIDTH) + "." * (_WIDTH - round(share * _WIDTH))
        rest = f"{_clock((self.total - done) / rate)} left" if rate > 0 and done < self.total else _clock(seconds)
        figures = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name != "rejected")
        return f"[{bar}] {share:6.1%}  {rate:,.0f}/s  {rest}  {figures}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
