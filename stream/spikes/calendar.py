"""The hours and weekends that a subject's season goes by: those of a zone, with its summer time.

A desk opens at nine by its own clock, in winter and in summer, and its Saturday begins at its own midnight. By
UTC alone all that comes an hour early or late once the clocks have changed.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator

HOUR = 3600
DAY = 86_400
WEEK = 7 * DAY

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SLOTS = 48
"""Hours of the day, of weekdays and then of weekends."""
SLOT_OF_HOUR: Integers = np.array([hour % 24 + (24 if hour >= 5 * 24 else 0) for hour in range(7 * 24)])
"""The slot of each hour of a week that begins on Monday."""
_SLOTS_OF_WEEK: list[int] = SLOT_OF_HOUR.tolist()
# 1970-01-01 was a Thursday.
_MONDAY = 3 * DAY
# No zone changes its clocks but at a quarter of an hour.
_QUARTER = 900
# What is later has no local time that a `datetime` could tell.
_LAST = int(datetime(9999, 12, 30, tzinfo=UTC).timestamp())


def _known(zone: str) -> str:
    if zone not in available_timezones():
        raise ValueError(f"{zone!r} is no time zone; write one like Asia/Shanghai")
    return zone


ZoneName = Annotated[str, AfterValidator(_known)]
"""Name of a zone as the IANA's data base has it."""


@lru_cache(maxsize=4096)
def _offset(zone: str, quarter: int) -> int:
    offset = datetime.fromtimestamp(quarter * _QUARTER, ZoneInfo(zone)).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


class Calendar:
    """Where in the week a Unix time lies, by the clocks of a zone."""

    def __init__(self, zone: ZoneName = "UTC") -> None:
        self._zone = None if zone == "UTC" else zone

    def offset(self, time: int) -> int:
        """By how many seconds the clocks are ahead of UTC."""
        return 0 if self._zone is None else _offset(self._zone, min(time, _LAST) // _QUARTER)

    def week(self, time: int) -> tuple[int, int]:
        """The week, counted from 1970 on, and the second of it, by the clock at that time."""
        return divmod(time + self.offset(time) + _MONDAY, WEEK)

    def slot(self, time: int) -> int:
        """The slot of the hour that it is."""
        return _SLOTS_OF_WEEK[self.week(time)[1] // HOUR]

    def shares(self, start: int, end: int) -> list[tuple[int, float]]:
        """The slots that the time from `start` to `end`, an hour at most, lies in, and how much of it does.

        Two where it begins within an hour of the clock and ends within the next, as in some zones hours of UTC do.
        """
        within = self.week(start)[1] % HOUR
        over = within + end - start - HOUR
        if over <= 0 or not within:
            return [(self.slot(start), 1.0)]
        share = over / (end - start)
        return [(self.slot(start), 1 - share), (self.slot(end - 1), share)]

    def hours(self, start: int, seconds: int) -> Doubles:
        """How many hours of each slot the time from `start` on has, by its whole hours."""
        times = np.arange(start, start + seconds, HOUR)
        if self.offset(start) == self.offset(start + seconds):
            local = times + self.offset(start)
        else:
            local = times + np.array([self.offset(time) for time in times.tolist()])
        slots = SLOT_OF_HOUR[(local + _MONDAY) % WEEK // HOUR]
        return np.bincount(slots, minlength=SLOTS).astype(float)

    def spans(self, start: int, end: int) -> Iterable[tuple[tuple[int, int], tuple[int, int]]]:
        """The weeks and seconds between which the clock goes from `start` to `end`, parted where it is changed."""
        before, after = self.offset(start), self.offset(end)
        if before == after:
            ahead = before + _MONDAY
            return ((divmod(start + ahead, WEEK), divmod(end + ahead, WEEK)),)
        change = self._change(start, end)
        until = divmod(change + before + _MONDAY, WEEK)
        return ((self.week(start), until), (self.week(change), self.week(end)))

    def _change(self, start: int, end: int) -> int:
        """When the clocks are changed that stand otherwise at `end` than they did at `start`."""
        before = self.offset(start)
        low, high = start // _QUARTER, end // _QUARTER
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.offset(middle * _QUARTER) == before else (low, middle)
        return high * _QUARTER


def shifted(values: npt.NDArray[np.float32], seconds: int) -> npt.NDArray[np.float32]:
    """What was learned by slots, as clocks would have it that are `seconds` ahead of those it was learned by.

    What a slot holds is taken to have come in equal parts in the hours that make it up; so its sum stays.
    """
    of_hours = (values / np.bincount(SLOT_OF_HOUR))[SLOT_OF_HOUR]
    whole, rest = divmod(seconds, HOUR)
    later = rest / HOUR * np.roll(of_hours, whole + 1) + (1 - rest / HOUR) * np.roll(of_hours, whole)
    return np.bincount(SLOT_OF_HOUR, later).astype(np.float32)
