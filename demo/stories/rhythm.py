"""When things are said: the four days, the hours of a day, and chance arrivals within them."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from random import Random

CHINA = timezone(timedelta(hours=8))
START = datetime(2026, 3, 2, tzinfo=CHINA)
"""A Monday."""
DAYS = 4
END = START + timedelta(days=DAYS)

Rhythm = tuple[float, ...]
"""The share of a day's items that falls into each of its 24 hours; they sum to 1."""


def _shares(*weights: int) -> Rhythm:
    return tuple(weight / sum(weights) for weight in weights)


# Six hours a line, from midnight in UTC+8.
# fmt: off
ASIA = _shares(
    1, 1, 1, 1, 1, 1,
    2, 6, 11, 13, 12, 11,
    9, 12, 13, 12, 11, 9,
    7, 6, 6, 5, 4, 2,
)
WEST = _shares(
    7, 5, 4, 3, 2, 2,
    2, 3, 6, 7, 7, 6,
    6, 6, 7, 8, 9, 9,
    9, 9, 10, 11, 11, 9,
)
ROUND_THE_CLOCK = _shares(
    4, 3, 3, 2, 2, 2,
    3, 4, 6, 7, 7, 6,
    6, 7, 7, 7, 7, 6,
    6, 6, 7, 7, 7, 6,
)
# fmt: on


def arrivals(rng: Random, expected: float, start: datetime, end: datetime) -> list[datetime]:
    """Return a Poisson number of moments in [start, end), `expected` on average, to the second."""
    span = int((end - start).total_seconds())
    return [start + timedelta(seconds=int(rng.random() * span)) for _ in range(_poisson(rng, expected))]


def expected_between(
    per_day: float, rhythm: Rhythm, start: datetime, end: datetime
) -> Iterator[tuple[float, datetime, datetime]]:
    """Yield (expected items, start, end) for each piece of an hour between `start` and `end`.

    `per_day` is the items of a whole day, shared among its hours by `rhythm`.
    """
    while start < end:
        next_hour = start.replace(minute=0, second=0) + timedelta(hours=1)
        stop = min(next_hour, end)
        yield per_day * rhythm[start.hour] * ((stop - start) / timedelta(hours=1)), start, stop
        start = stop


def _poisson(rng: Random, mean: float) -> int:
    """Knuth's method: multiply uniforms until they fall below exp(-mean). For means below 500."""
    floor, product, count = math.exp(-mean), rng.random(), 0
    while product > floor:
        product *= rng.random()
        count += 1
    return count
