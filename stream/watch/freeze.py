"""Tells whether the whole process stood still: stopped by a signal, swapped out, its machine paused."""

import threading
import time

from stream.kafka import FencedError

PULSE_SECONDS = 0.25


def _now() -> float:
    """Seconds of a steady clock, on Linux of one that goes on while the machine is suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class FreezeDetector:
    """A thread that looks at the clock; an event loop that is merely busy does not stop it."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds
        self._pulse = _now()
        self._longest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="freeze detector", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._pulse = _now()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()

    def check(self) -> None:
        """Raise `FencedError` if the process ever stood still for longer than the limit."""
        stood = max(self._longest, _now() - self._pulse)
        if stood > self._limit:
            raise FencedError(f"the process stood still for {stood:.0f} s, and others may own its partitions")

    def _beat(self) -> None:
        while not self._ended.wait(PULSE_SECONDS):
            now = _now()
            self._longest = max(self._longest, now - self._pulse)
            self._pulse = now
