"""Running synthetic checks: each in a thread, so that an answer that hangs holds up no other check and no task."""

import logging
import threading

from django.db import connection
from django.utils import timezone

from incidents.actions.canaries import Taken, run, take

log = logging.getLogger(__name__)
MOST_THREADS = 8
_slots = threading.BoundedSemaphore(MOST_THREADS)


def run_due() -> int:
    """Start what is due, as far as threads are free here; returns how many. The rest comes with the next call."""
    begun = 0
    while _slots.acquire(blocking=False):
        taken = take(timezone.now())
        if taken is None:
            _slots.release()
            break
        threading.Thread(target=_work, args=(taken,), daemon=True, name=f"check {taken.canary.pk}").start()
        begun += 1
    return begun


def _work(taken: Taken) -> None:
    try:
        run(taken)
    except Exception:
        log.exception("synthetic check %s was not kept", taken.canary.pk)
    finally:
        connection.close()
        _slots.release()
