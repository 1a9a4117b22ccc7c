"""Which events are due: at a multiple of their own speed, but never more than the workers can take.

When the workers fall behind, the replay's clock waits for them: the stream slows down and does not pile up.
"""

import bisect
import itertools
import math
from collections.abc import Sequence
from datetime import UTC, datetime

from stream.replay import Item

LONGEST_SILENCE_SECONDS = 2.0
"""A gap between two events is shortened to so much time of the replay: nobody waits for a weekend to end."""

WIDEST_SPREAD_SECONDS = 6 * 3600
"""Events on their way together lie within so much event time. Several workers share them, and what one of them
brings after another is further ahead than the detector's memory lasts would come too late to be counted."""


class Pace:
    """Pure: it is told how much time has passed, and says which items to send."""

    def __init__(self, items: Sequence[Item], speed: float) -> None:
        self._items = items
        self._speed = speed
        self._times = _filled(items)
        self._clock = self._times[0] if self._times else None
        self.sent = 0
        """How many items were handed out."""
        self.held_back = False
        """Whether items were due that the workers had no room for, when last asked."""

    @property
    def time(self) -> datetime | None:
        """The event time that was reached; None where events have no time."""
        if self._clock is None:
            return None
        # By the last item sent, since a clock that runs ahead of it shows nothing that happened.
        reached = self._times[self.sent - 1] if self.sent else self._clock
        return datetime.fromtimestamp(reached, UTC)

    @property
    def done(self) -> bool:
        """Whether all items were handed out."""
        return self.sent >= len(self._items)

    def due(self, elapsed_seconds: float, processed: int, room: int) -> Sequence[Item]:
        """The items to send now: `elapsed_seconds` after the last call, when the workers are through with
        `processed` of those sent before, and may have `room` on their way.
        """
        end = self._due_by_time(elapsed_seconds)
        allowed = min(end, self._allowed(processed, room))
        self.held_back = allowed < end
        if self.held_back and self._clock is not None and not math.isinf(self._speed):
            # What could not be sent is not made up for later in a burst.
            self._clock = min(self._clock, self._times[allowed])
        run = self._items[self.sent : allowed]
        self.sent = max(self.sent, allowed)
        return run

    def _due_by_time(self, elapsed_seconds: float) -> int:
        if self._clock is None or math.isinf(self._speed):
            return len(self._items)
        if not self.done:
            silence = LONGEST_SILENCE_SECONDS * self._speed
            self._clock = max(self._clock + elapsed_seconds * self._speed, self._times[self.sent] - silence)
        return max(self.sent, bisect.bisect_right(self._times, self._clock))

    def _allowed(self, processed: int, room: int) -> int:
        end = processed + room
        if self._times and processed < len(self._times):
            latest = self._times[processed] + WIDEST_SPREAD_SECONDS
            end = min(end, bisect.bisect_right(self._times, latest))
        return max(self.sent, end)


def _filled(items: Sequence[Item]) -> list[float]:
    """Each item's time, or that of the item before it, as Unix seconds; empty where no item has a time."""
    first = next((item.time for item in items if item.time), None)
    if first is None:
        return []
    times = (item.time.timestamp() if item.time else -math.inf for item in items)
    return list(itertools.accumulate(times, max, initial=first.timestamp()))[1:]
