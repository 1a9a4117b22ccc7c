"""A process that stood still is told from one that is busy."""

import time

import pytest

from stream.kafka import FencedError
from stream.watch import freeze
from stream.watch.freeze import PULSE_SECONDS, FreezeDetector

STOOD_STILL = r"stood still for 10\d s"
"""For 100 s and what went by since the last pulse, which is more where the machine is busy."""


def test_a_process_that_runs_is_not_frozen() -> None:
    detector = FreezeDetector(limit_seconds=4 * PULSE_SECONDS)
    detector.start()
    # Busy, as an event loop that reads a large log is.
    end = time.monotonic() + 5 * PULSE_SECONDS
    while time.monotonic() < end:
        sum(range(1_000))
    detector.check()
    detector.stop()


def test_a_freeze_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = FreezeDetector(limit_seconds=4 * PULSE_SECONDS)
    detector.start()
    time.sleep(2 * PULSE_SECONDS)
    # The clock jumps, as it does for who was stopped.
    actual = freeze._now
    monkeypatch.setattr(freeze, "_now", lambda: actual() + 100)
    with pytest.raises(FencedError, match=STOOD_STILL):
        detector.check()
    time.sleep(3 * PULSE_SECONDS)
    with pytest.raises(FencedError, match=STOOD_STILL):
        detector.check()
    detector.stop()
