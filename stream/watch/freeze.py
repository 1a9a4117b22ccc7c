"""Tells whether the whole process stood still: stopped by a signal, swapped out, its machine paused."""

import threading
import time

from stream.kafka import FencedError

PULSE_SECONDS = 0.25


class FreezeDetector:
    """A thread that looks at the clock; an event loop that is merely busy does not stop it."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds
        self._pulse = time.monotonic()
        self._longest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="freeze detector", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._pulse = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()

    def check(self) -> None:
        """Raise `FencedError` if the process ever stood still for longer than the limit."""
        stood = max(self._longest, time.monotonic() - self._pulse)
        if stood > self._limit:
            raise FencedError(f"the process stood still for {stood:.0f} s, and others may own its partitions")

    def _beat(self) -> None:
        while not self._ended.wait(PULSE_SECONDS):
            now = time.monotonic()
            self._longest = max(self._longest, now - self._pulse)
            self._pulse = now
