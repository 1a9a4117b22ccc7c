"""Where a partition of `sentiment.observed` is read. Pure: it knows offsets, no Kafka.

The cursor is saved beside the subjects' states, in the same log and after them. Whatever part of that log
a new owner reads back, the states in it know every record before the cursor: from there on nothing is lost,
and what a state knows already it counts no second time. The consumer group's own offsets are a hint only:
Faust drops records that arrive while it resumes after a rebalance, and may then commit past them.
"""

from datetime import datetime, timedelta
from enum import Enum

PATIENCE_SECONDS = 1.0
"""How long records behind a gap are disregarded before the reader is sent back once more."""
TICK_STEP = timedelta(seconds=5)
"""Ticks between these tell nothing that cannot wait: alerts fire by events, and end by the minute."""
TURNED_BACK = timedelta(days=1)
"""A tick so far behind is of a stream that was made anew, or the one before it was of a wrong clock."""

_KEY = "\0next:"


class Step(Enum):
    """What to do with a record."""

    HANDLE = "handle"
    GO_BACK = "go back"
    DISREGARD = "disregard"


class Cursor:
    """The next offset of one partition."""

    def __init__(self, partition: int, saved: bytes | None) -> None:
        """`saved` is what `dump` gave, or none for a partition that was never read."""
        self.key = cursor_key(partition)
        following, _, time = (saved or b"0").decode().partition(" ")
        self.following = int(following)
        self.time = datetime.fromisoformat(time) if time else None
        """The event time of the last tick before the cursor that was heeded."""
        self._went_back_at: float | None = None

    def meet(self, offset: int, now: float) -> Step:
        """Decide on the record at `offset`, met at `now` in seconds of any steady clock.

        A record from before the cursor is handled too: to the states it is a repeat.
        """
        if offset <= self.following:
            return Step.HANDLE
        if self._went_back_at is not None and now - self._went_back_at < PATIENCE_SECONDS:
            return Step.DISREGARD
        self._went_back_at = now
        return Step.GO_BACK

    def heeds(self, tick: datetime) -> bool:
        """Whether subjects are to be told of a tick.

        Every worker of the score stage sends them, and one of these may lag behind. It depends on nothing but the
        ticks: a new owner that reads them again must heed the same, or its alerts had other ids.
        """
        return self.time is None or not -TURNED_BACK < tick - self.time < TICK_STEP

    def pass_over(self, offset: int, time: datetime | None = None) -> None:
        """The record at `offset` is done; of a tick that was heeded, `time` is what it told."""
        self.following = offset + 1
        self.time = time or self.time
        self._went_back_at = None

    def dump(self) -> bytes:
        """The cursor as the log keeps it."""
        return f"{self.following} {self.time.isoformat()}".encode() if self.time else b"%d" % self.following


def cursor_key(partition: int) -> bytes:
    """The key in the log, which no subject's name can be."""
    return f"{_KEY}{partition}".encode()


def is_cursor(key: bytes) -> bool:
    """Whether a key of the log belongs to a cursor and not to a subject."""
    return key.startswith(_KEY.encode())
