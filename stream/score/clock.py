"""The stream's own time, by which an event from the future is put in its place. Pure."""

from datetime import datetime, timedelta


class PartitionClock:
    """The newest event time of one source partition.

    Live, it follows the wall clock; in a replay of 2014 it runs through 2014. An event that is dated
    ahead of the wall clock is wrong about its time: it does not move this clock, and is counted at
    the time that the stream has reached.
    """

    def __init__(self, tolerance: timedelta, reached: datetime | None = None) -> None:
        self._tolerance = tolerance
        self.reached = reached

    def place(self, claimed: datetime | None, recorded: datetime, wall: datetime) -> tuple[datetime, bool]:
        """Return the time at which to count an event, and whether its own lies in the future.

        `claimed` is the event's own time, `recorded` the broker's, `wall` the time now.
        """
        time = claimed if claimed is not None else recorded
        if time > wall + self._tolerance:
            return self.reached or min(recorded, wall), True
        if self.reached is None or time > self.reached:
            self.reached = time
        return time, False


class StreamClock:
    """The newest event time of all partitions, which goes on by itself while no event arrives.

    Without that, a stream that falls silent would keep its alerts firing for ever.
    """

    def __init__(self) -> None:
        self._reached: datetime | None = None
        self._moved_at: datetime | None = None

    def moved_to(self, reached: datetime, wall: datetime) -> None:
        """An event time was reached at the time `wall`."""
        if self._reached is None or reached > self._reached:
            self._reached = reached
        self._moved_at = wall

    def now(self, wall: datetime) -> datetime | None:
        """Event time at the time `wall`; None before the first event."""
        if self._reached is None or self._moved_at is None:
            return None
        return self._reached + max(wall - self._moved_at, timedelta())
