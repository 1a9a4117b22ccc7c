"""Counts in equal buckets of event time, of which the newest are kept."""

from collections.abc import Sequence
from itertools import chain

BUCKETS = 96
"""How many buckets a ring holds: a day of quarter hours, or an hour and a half of minutes."""


class Ring:
    """Several counts per bucket for the newest `BUCKETS` buckets.

    A bucket's index is its start in Unix time divided by its length. Counts are whole numbers, so that sums
    do not depend on the order in which events came.
    """

    def __init__(self, seconds: int, columns: int) -> None:
        self.seconds = seconds
        self.first = 0
        """Index of the oldest bucket that is kept."""
        self.columns = [[0] * BUCKETS for _ in range(columns)]

    @property
    def last(self) -> int:
        """Index of the newest bucket."""
        return self.first + BUCKETS - 1

    def slide(self, last: int) -> None:
        """Make `last` the newest bucket; the oldest ones are dropped."""
        steps = last - self.last
        if steps <= 0:
            return
        kept = max(0, BUCKETS - steps)
        for column in self.columns:
            column[:] = column[BUCKETS - kept :] + [0] * (BUCKETS - kept)
        self.first += steps

    def add(self, bucket: int, column: int, amount: int) -> None:
        """Add to a bucket, which must be kept."""
        self.columns[column][bucket - self.first] += amount

    def get(self, bucket: int) -> tuple[int, ...]:
        """All counts of a bucket, which must be kept."""
        return tuple(column[bucket - self.first] for column in self.columns)

    def total(self, column: int, first: int, last: int) -> int:
        """Sum over the buckets `first` to `last`, both included; those not kept count nothing."""
        start, stop = max(0, first - self.first), last - self.first + 1
        return sum(self.columns[column][start:stop]) if stop > start else 0

    def dump(self) -> list[int]:
        """The ring as numbers."""
        return [self.first, *chain.from_iterable(self.columns)]

    def load(self, numbers: Sequence[int]) -> int:
        """Read what `dump` made from the start of `numbers`; returns how many were read."""
        self.first = numbers[0]
        for place, column in enumerate(self.columns):
            column[:] = numbers[1 + place * BUCKETS : 1 + (place + 1) * BUCKETS]
        return 1 + len(self.columns) * BUCKETS
