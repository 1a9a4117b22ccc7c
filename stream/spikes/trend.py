"""The trend: exact counts by sentiment in each interval, and which of its rows must still be told."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from stream.labels import SENTIMENTS, Sentiment
from stream.records import Window
from stream.spikes.counts import Ring

NEGATIVE = SENTIMENTS.index("negative")
REPEATED = len(SENTIMENTS)
"""Column of what near-duplicates lessen the weight of the negatives by, in units."""
_STATUS = REPEATED + 1
_TOLD, _PROVISIONAL, _CHANGED = 0, 1, 2

Expect = Callable[[int, int], float | None]
"""Negatives expected between two times, None without history."""


def significant(value: float) -> float:
    """A number as it is published: to three significant digits, so that the smallest is not told as none."""
    return float(f"{value:.3g}")


class Trend:
    """Rows of the newest intervals; the empty ones are never told."""

    def __init__(self, subject: str, interval_seconds: int, lateness_seconds: int) -> None:
        self._subject = subject
        self._seconds = interval_seconds
        self._lateness = lateness_seconds
        self.ring = Ring(interval_seconds, _STATUS + 1)
        self._dropped: list[Window] = []
        self.waiting = False
        """Whether a row has not been told for good."""

    def count(self, time: int, sentiment: Sentiment, repeated: int, number: int = 1) -> None:
        """Count so many events into their row, which must be kept."""
        bucket = time // self._seconds
        self.ring.add(bucket, SENTIMENTS.index(sentiment), number)
        self.ring.add(bucket, REPEATED, repeated)
        self.ring.columns[_STATUS][bucket - self.ring.first] = _CHANGED
        self.waiting = True

    def slide(self, time: int, expect: Expect) -> None:
        """Make the row of `time` the newest; rows that leave untold are kept aside."""
        last = time // self._seconds
        if self.waiting and last > self.ring.last:
            leaving = range(self.ring.first, min(self.ring.last, last - len(self._status)) + 1)
            for bucket in leaving:
                if self._status[bucket - self.ring.first] != _TOLD:
                    self._dropped.append(self._row(bucket, expect, final=True))
        self.ring.slide(last)

    @property
    def _status(self) -> list[int]:
        return self.ring.columns[_STATUS]

    def take(self, now: int | None, expect: Expect, *, closed_only: bool) -> list[Window]:
        """The rows that changed since they were told, oldest first; final ones are told once more for good."""
        rows, self._dropped = self._dropped, []
        if now is None or not self.waiting:
            return rows
        self.waiting = False
        for place, status in enumerate(self._status):
            if status == _TOLD:
                continue
            bucket = self.ring.first + place
            final = (bucket + 1) * self._seconds + self._lateness <= now
            if final or (status == _CHANGED and not closed_only):
                rows.append(self._row(bucket, expect, final=final))
                self._status[place] = _TOLD if final else _PROVISIONAL
            self.waiting = self.waiting or not final
        return rows

    def _row(self, bucket: int, expect: Expect, *, final: bool) -> Window:
        start = bucket * self._seconds
        negative, neutral, positive = self.ring.get(bucket)[: len(SENTIMENTS)]
        expected = expect(start, start + self._seconds)
        return Window(
            subject=self._subject,
            start=datetime.fromtimestamp(start, UTC),
            seconds=self._seconds,
            negative=negative,
            neutral=neutral,
            positive=positive,
            expected_negative=None if expected is None else significant(expected),
            final=final,
        )

    def load(self, numbers: Sequence[int]) -> int:
        """Read what the ring's `dump` made; returns how many numbers were read."""
        read = self.ring.load(numbers)
        self.waiting = any(self._status)
        return read
