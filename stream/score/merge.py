"""Several partitions as one stream in the order of event time. Pure.

Partition after partition, a backlog of many days would reach the watch stage a partition at a time: what
comes from the second would be days late by the time that the first one set. So the partitions of a worker
advance together, the one that is furthest behind first.
"""

from collections import defaultdict, deque
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Generic, TypeVar

Item = TypeVar("Item")

SLACK = timedelta(minutes=1)
"""How far one partition may run ahead of one whose next event is not known yet."""


class Merge(Generic[Item]):
    """Queues of items per partition, taken oldest first; the order within a partition never changes."""

    def __init__(self) -> None:
        self._queues: dict[int, deque[tuple[datetime | None, Item, int]]] = {}
        self._newest: dict[int, datetime] = {}
        self._sizes: dict[int, int] = defaultdict(int)

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def waiting(self, partition: int) -> int:
        """How many items of a partition wait."""
        return len(self._queues.get(partition, ()))

    def size(self, partition: int) -> int:
        """How large the items of a partition are that wait, together."""
        return self._sizes[partition]

    def add(self, partition: int, time: datetime | None, item: Item, size: int = 0) -> None:
        """Append an item. One without a time is as old as the newest before it in its partition."""
        newest = self._newest.get(partition)
        if time is not None and (newest is None or time > newest):
            newest = self._newest[partition] = time
        self._queues.setdefault(partition, deque()).append((newest, item, size))
        self._sizes[partition] += size

    def take(self, most: int, behind: Collection[int] = ()) -> list[Item]:
        """At most so many items, oldest first.

        `behind` names partitions that have more to read: while one of them has nothing waiting, the others
        stop where they would leave it behind.
        """
        taken: list[Item] = []
        while len(taken) < most:
            ready = [(queue[0][0], number) for number, queue in self._queues.items() if queue]
            if not ready:
                break
            # An item without any time goes first: nothing is known that it should wait for.
            time, number = min(ready, key=lambda head: (head[0] is not None, head))
            if time is not None and any(self._leaves_behind(time, other) for other in behind):
                break
            _, item, size = self._queues[number].popleft()
            self._sizes[number] -= size
            taken.append(item)
        return taken

    def clear(self) -> None:
        """Forget everything: the partitions are read again from where they were committed."""
        self._queues.clear()
        self._newest.clear()
        self._sizes.clear()

    def _leaves_behind(self, time: datetime, other: int) -> bool:
        if self._queues.get(other):
            return False
        newest = self._newest.get(other)
        return newest is None or time > newest + SLACK
