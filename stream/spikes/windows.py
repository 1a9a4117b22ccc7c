"""Exact counts of the last day, by the minute and by the interval of the trend, and of windows within it."""

from collections.abc import Sequence
from typing import NamedTuple

from stream.labels import Sentiment
from stream.spikes.counts import BUCKETS, Ring
from stream.spikes.novelty import UNIT
from stream.spikes.settings import MINUTE_WINDOWS_SECONDS
from stream.spikes.trend import NEGATIVE, REPEATED, Expect, Trend

_MINUTE = 60


class Columns(NamedTuple):
    """Which of a ring's columns say what."""

    negative: int
    total: tuple[int, ...]
    """They add up to all events."""
    repeated: int
    """Units by which near-duplicates lessen the weight of the negatives."""


_OF_MINUTES = Columns(negative=0, total=(1,), repeated=2)
_OF_TREND = Columns(negative=NEGATIVE, total=tuple(range(REPEATED)), repeated=REPEATED)


class Counts:
    """Exact counts of a window, from a bucket of a ring up to the time `end`."""

    __slots__ = ("_columns", "_first", "_last", "_ring", "end", "negative", "start", "weight")

    def __init__(self, ring: Ring, first: int, end: int, columns: Columns) -> None:
        self._ring, self._columns = ring, columns
        self._first, self._last = first, (end - 1) // ring.seconds
        self.start, self.end = first * ring.seconds, end
        self.negative = ring.total(columns.negative, first, self._last)
        self.weight = self.negative - ring.total(columns.repeated, first, self._last) / UNIT
        """Negatives, near-duplicates weighing less."""

    @property
    def total(self) -> int:
        """All events."""
        return sum(self._ring.total(column, self._first, self._last) for column in self._columns.total)

    @property
    def newest(self) -> "Counts":
        """The window's newest quarter."""
        return self.since((self._last - (self._last - self._first) // 4) * self._ring.seconds)

    def since(self, time: int) -> "Counts":
        """What came from `time` on, of whole buckets."""
        first = -(-time // self._ring.seconds)
        return self if first <= self._first else Counts(self._ring, first, self.end, self._columns)


class Windows:
    """The two rings: minutes for short windows, the trend's intervals for the others; times are Unix seconds."""

    def __init__(self, subject: str, interval_seconds: int, lateness_seconds: int) -> None:
        self.trend = Trend(subject, interval_seconds, lateness_seconds)
        self._minutes = Ring(_MINUTE, 3)

    def oldest(self, newest: int) -> int:
        """Start of what is still kept once time has come to `newest`."""
        seconds = self.trend.ring.seconds
        return (newest // seconds - BUCKETS + 1) * seconds

    def count(self, time: int, sentiment: Sentiment, weight: int, number: int) -> None:
        """Count `number` events that the trend still keeps, each of so many units, into both rings."""
        repeated = number * (UNIT - weight)
        self.trend.count(time, sentiment, repeated, number)
        minute = time // _MINUTE
        if minute >= self._minutes.first:
            self._minutes.add(minute, _OF_MINUTES.total[0], number)
            if sentiment == "negative":
                self._minutes.add(minute, _OF_MINUTES.negative, number)
                self._minutes.add(minute, _OF_MINUTES.repeated, repeated)

    def slide(self, time: int, expect: Expect) -> None:
        """Make the minute and the interval of `time` the newest."""
        self._minutes.slide(time // _MINUTE)
        self.trend.slide(time, expect)

    def ending(self, seconds: int, end: int, *, whole: bool = True) -> Counts | None:
        """Counts of the window of that length that ends with the second `end`; None where not all is kept.

        It begins with the first bucket that lies in it as a `whole`, or else with the one that it begins in.
        """
        in_minutes = seconds <= MINUTE_WINDOWS_SECONDS
        ring, columns = (self._minutes, _OF_MINUTES) if in_minutes else (self.trend.ring, _OF_TREND)
        first = (end - seconds) // ring.seconds + (1 if whole else 0)
        return None if first < ring.first else Counts(ring, first, end + 1, columns)

    def intervals(self, first: int, end: int) -> Counts:
        """Counts from the interval with the index `first` up to the time `end`."""
        return Counts(self.trend.ring, first, end, _OF_TREND)

    def block(self, seconds: int, index: int) -> Counts | None:
        """Counts of a block, one of the spans of that length that follow each other; None where it lies ahead."""
        ring, columns = self._block_ring(seconds)
        start = index * seconds
        if start > ring.last * ring.seconds:
            return None
        return Counts(ring, start // ring.seconds, start + seconds, columns)

    def keeps_block(self, seconds: int) -> int:
        """For how many seconds after its end a block of that length is still kept whole."""
        ring, _ = self._block_ring(seconds)
        return (BUCKETS - 1) * ring.seconds - seconds

    def _block_ring(self, seconds: int) -> tuple[Ring, Columns]:
        """Blocks of whole intervals are read from the trend, which keeps them for longer than the minutes."""
        if seconds % self.trend.ring.seconds:
            return self._minutes, _OF_MINUTES
        return self.trend.ring, _OF_TREND

    def dump(self) -> list[int]:
        """Both rings as numbers."""
        return [*self._minutes.dump(), *self.trend.ring.dump()]

    def load(self, numbers: Sequence[int]) -> int:
        """Read what `dump` made; returns how many numbers were read."""
        place = self._minutes.load(numbers)
        return place + self.trend.load(numbers[place:])
