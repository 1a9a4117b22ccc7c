"""How far a demo is: counts of events on their way, and rates over the last few seconds. Pure."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

RATE_SECONDS = 4.0

LEAST_ROOM = 24
"""Events that may wait for their score at any speed: enough to keep two workers busy. More of them would only blur
the stream's time, of which a second of the replay is more than an hour: an alert fires at the newest time seen."""

LEAST_COUNTING_ROOM = 256
"""Events that may wait to be counted at any speed: rows of the trend come once a second."""

_COUNTING_SECONDS = 4.0
_GIVEN_UP_SECONDS = 6.0


class Sample(NamedTuple):
    """The counts at one time, by the monotonic clock."""

    at: float
    sent: int
    scored: int
    time: datetime | None


@dataclass
class Progress:
    """Counts of one replay."""

    total: int
    sent: int = 0
    scored: int = 0
    dead_letters: int = 0
    counted: int = 0
    """Events that the trend counts."""
    given_up: int = 0
    """Scored events that will not be counted: sent twice, or too late."""
    time: datetime | None = None
    """The event time that was sent last."""
    held_back: bool = False
    """Whether the replay waits for the workers."""
    began: float | None = None
    ended: float | None = None
    peak_rate: float = 0
    """Most events scored per second, over `RATE_SECONDS`."""
    _samples: deque[Sample] = field(default_factory=deque)
    _moved_at: float | None = None

    @property
    def processed(self) -> int:
        """Events that the workers are through with."""
        return self.scored + self.dead_letters

    @property
    def waiting(self) -> int:
        """Events that were sent, and are neither scored nor dead letters."""
        return self.sent - self.processed

    @property
    def uncounted(self) -> int:
        """Events that are scored, and still to be counted."""
        return self.scored - self.counted - self.given_up

    @property
    def room(self) -> int:
        """Events that may wait for their score: what the workers do in a second, less when counting is behind."""
        counting = max(LEAST_COUNTING_ROOM, int(_COUNTING_SECONDS * self.scored_rate))
        return max(0, min(max(LEAST_ROOM, int(self.scored_rate)), counting - self.uncounted))

    @property
    def seconds(self) -> float:
        """From the first event sent to the last one through."""
        return 0.0 if self.began is None or self.ended is None else self.ended - self.began

    def events_sent(self, count: int, at: float) -> None:
        """The broker has so many more."""
        self.began = at if self.began is None else self.began
        self.sent += count

    def events_processed(self, scored: int, dead_letters: int, at: float) -> None:
        """The workers are through with so many more."""
        if scored or dead_letters:
            self.scored += scored
            self.dead_letters += dead_letters
            self.ended = at

    def events_counted(self, counted: int, at: float) -> None:
        """The trend now counts so many. What is left over when all else is done, and stays so, is given up."""
        if counted != self.counted or self.waiting or self._moved_at is None:
            self._moved_at = at
        self.counted = counted
        if at - self._moved_at > _GIVEN_UP_SECONDS:
            self.given_up = self.scored - self.counted

    def sample(self, at: float) -> None:
        """Take note of the counts, now and then, for the rates."""
        self._samples.append(Sample(at, self.sent, self.scored, self.time))
        while at - self._samples[0].at > RATE_SECONDS:
            self._samples.popleft()
        # A rate over a moment says nothing.
        if at - self._samples[0].at > RATE_SECONDS / 2:
            self.peak_rate = max(self.peak_rate, self.scored_rate)

    @property
    def sent_rate(self) -> float:
        """Events sent per second."""
        return self._rate(lambda sample: sample.sent)

    @property
    def scored_rate(self) -> float:
        """Events scored per second."""
        return self._rate(lambda sample: sample.scored)

    @property
    def speed(self) -> float:
        """Event seconds per second, as it really is."""
        timed = [(sample.at, sample.time) for sample in self._samples if sample.time]
        if len(timed) < 2:
            return 0.0
        (first_at, first), (last_at, last) = timed[0], timed[-1]
        return (last - first).total_seconds() / max(last_at - first_at, 1e-9)

    def _rate(self, value: Callable[[Sample], int]) -> float:
        if len(self._samples) < 2:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        return (value(last) - value(first)) / max(last.at - first.at, 1e-9)
