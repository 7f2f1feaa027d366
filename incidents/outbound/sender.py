"""Sending what is due: one thread a channel, so that a service that hangs holds up nobody but itself.

The worker that starts the threads goes on with its tasks. A thread that dies with its process leaves a lease behind.
"""

import logging
import threading
from collections.abc import Iterable
from importlib import import_module

from django.db import connection
from django.utils import timezone

from incidents.actions.sending import channels_due, claim, settle
from incidents.models import Delivery
from incidents.outbound.message import Outcome, message_of
from incidents.rules.sending import ATTEMPTS
from incidents.seal import SealBroken

log = logging.getLogger(__name__)
MOST_THREADS = 16
_threads: dict[int, threading.Thread] = {}
_lock = threading.Lock()


def send_due() -> int:
    """Start a thread for each channel with something to send that has none yet; returns how many."""
    return start(channels_due(timezone.now()))


def start(channel_ids: Iterable[int]) -> int:
    """Threads for these channels, up to `MOST_THREADS` in this process; the rest comes with the next call."""
    begun = 0
    with _lock:
        for dead in [pk for pk, thread in _threads.items() if not thread.is_alive()]:
            del _threads[dead]
        for pk in channel_ids:
            if pk not in _threads and len(_threads) < MOST_THREADS:
                _threads[pk] = threading.Thread(target=_work, args=(pk,), daemon=True, name=f"sender of channel {pk}")
                _threads[pk].start()
                begun += 1
    return begun


def _work(channel_id: int) -> None:
    try:
        work(channel_id)
    except Exception:
        log.exception("sending through channel %s stopped; it goes on with the next look", channel_id)
    finally:
        connection.close()


def work(channel_id: int) -> int:
    """Send what is due through one channel, one after the other; returns how many were taken."""
    taken = 0
    while delivery := claim(channel_id, timezone.now()):
        outcome = send(delivery)
        settle(delivery, outcome, timezone.now())
        taken += outcome.taken
    return taken


def send(delivery: Delivery) -> Outcome:
    """Send one, outside of any transaction. Whatever goes wrong is an outcome; its words hold no secret."""
    if delivery.attempts > ATTEMPTS:
        return Outcome(False, "Given up: every sender that took it died.", final=True)
    transport = transport_of(delivery.channel.kind)
    try:
        outcome: Outcome = transport.send(delivery.channel, message_of(delivery))
    except SealBroken as error:
        return Outcome(False, str(error), final=True)
    except Exception as error:
        # Not the message of the error: libraries put addresses into it, and those hold tokens.
        log.error("delivery %s: %s", delivery.pk, type(error).__name__)
        return Outcome(False, f"An unexpected error: {type(error).__name__}.")
    return outcome


def transport_of(kind: str):
    """The module that sends by this kind of channel. Loaded when first needed: Apprise takes 50 MB."""
    return import_module(f"incidents.outbound.by_{kind}")
