"""The stream's own time, by which an event from the future is put in its place. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from stream.records import EARLIEST

STANDSTILL_SECONDS = 120.0
"""Who did not look at the clock for longer stood still, and what came meanwhile is still to be read."""


class PartitionClock:
    """The newest event time of one source partition, and how it stands to the broker's own time.

    Live, it follows the wall clock; in a replay of 2014 it runs through 2014. An event that is dated
    ahead of the wall clock is wrong about its time, and one without a date says nothing of it: both are
    counted where the stream has got to, which is as far from the time that the broker recorded as it
    was for the newest event that does know its time, and never behind that event.
    """

    def __init__(self, tolerance: timedelta) -> None:
        self._tolerance = tolerance
        self._ahead = timedelta()
        """Event time minus recorded time, of the event that moved this clock last."""
        self._told = False
        """Whether any event has told its time; until then the broker's time stands in for it."""
        self.reached: datetime | None = None

    def place(self, claimed: datetime | None, recorded: datetime, wall: datetime) -> tuple[datetime, bool]:
        """Return the time at which to count an event, and whether its own lies in the future.

        `claimed` is the event's own time, `recorded` the broker's, `wall` the time now.
        """
        if claimed is None:
            time = self._since(recorded, wall)
            self._move_to(time)
            return time, False
        if claimed > wall + self._tolerance:
            return self._since(recorded, wall), True
        if not self._told:
            self._told, self.reached = True, None
        if self._move_to(claimed):
            self._ahead = claimed - recorded
        return claimed, False

    def now(self, wall: datetime) -> datetime | None:
        """Event time at the time `wall` where no event waits; None before the first one."""
        return None if self.reached is None else self._since(wall, wall)

    def dump(self) -> str:
        """The clock in a few characters, which are committed with the offset and outlive a restart."""
        return f"{self.reached.isoformat()} {self._ahead.total_seconds()}" if self.reached else ""

    def load(self, text: str) -> None:
        """Go on where the clock that wrote `text` stopped; what is no such text changes nothing."""
        try:
            reached, ahead = text.split(" ")
            moment, difference = datetime.fromisoformat(reached), timedelta(seconds=float(ahead))
        except (ValueError, OverflowError):
            return
        self.reached, self._ahead, self._told = moment, difference, True

    def _since(self, recorded: datetime, wall: datetime) -> datetime:
        """Where the stream had got to when the broker recorded an event, within what a record can say."""
        try:
            time = recorded + self._ahead
        except OverflowError:
            time = recorded
        return max(self.reached or EARLIEST, min(time, wall))

    def _move_to(self, time: datetime) -> bool:
        if self.reached is not None and time <= self.reached:
            return False
        self.reached = time
        return True


class StreamClock:
    """The event time up to which everything is published, which goes on by itself while no event arrives.

    Without that, a stream that falls silent would keep its alerts firing for ever. It must not run ahead of
    what is published: events that are still on their way would be found too late. So it heeds no wall clock,
    which may be set, but seconds of a steady one, and of these only those in which somebody looked at it.
    """

    def __init__(self) -> None:
        self._reached: datetime | None = None
        self._passed = timedelta()
        """How long ago that was."""
        self._looked_at = 0.0
        self.behind = False
        """Whether time may have passed that it knows nothing of, and it is to catch up."""

    def published(self, reached: datetime | None, steady: float) -> None:
        """All events up to the event time `reached` were published by the time `steady`."""
        if reached is not None and reached != self._reached:
            self._reached, self._passed, self._looked_at = reached, timedelta(), steady

    def catch_up(self, now: datetime | None, steady: float) -> None:
        """At the time `steady` no event waits, and event time is `now` at least."""
        self.behind = False
        if now is not None and self._reached is not None:
            self._passed, self._looked_at = max(self._passed, now - self._reached), steady

    def now(self, steady: float) -> datetime | None:
        """Event time at the time `steady`; None before the first event."""
        if self._reached is None:
            return None
        passed = steady - self._looked_at
        self.behind = self.behind or passed > STANDSTILL_SECONDS
        self._passed += timedelta(seconds=min(passed, STANDSTILL_SECONDS))
        self._looked_at = steady
        return self._reached + self._passed


def recorded_time(milliseconds: int, wall: datetime) -> datetime:
    """A record's timestamp as a time, and never one ahead of `wall`: some producers count in microseconds."""
    return datetime.fromtimestamp(min(max(milliseconds, 0) / 1000, wall.timestamp()), UTC)


def newest(times: Iterable[datetime | None]) -> datetime | None:
    """The newest event time of several partitions; None before the first event."""
    return max((time for time in times if time is not None), default=None)
