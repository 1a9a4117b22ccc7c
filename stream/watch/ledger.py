"""Whose rows of a partition's log count. Pure: it knows rows and their offsets, no Kafka.

Who takes a partition over writes a claim before anything else. The claim's offset is its token, which each row
carries that it writes. Claims follow one another in the log, so a row counts only where no newer claim than its
own comes before it. What an earlier owner still sends after that, since its network was cut and its producer
tries again, changes nothing for those who read the log: no old state stands beside a cursor from after it.

Compaction knows nothing of that, and keeps the last row of a key. So whoever finds that a row was written over by
one that does not count writes it again.

A row without a value says that its subject is forgotten; in time compaction drops it, too.
"""

from dataclasses import dataclass

CLAIM_KEY = b"\0claim"
"""The key of claims, which no subject's name can be."""
_NO_CLAIM = -1


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the log as it was read."""

    offset: int
    key: bytes
    value: bytes | None
    token: int | None
    """The offset of its writer's claim; None where it was written before there were claims."""
    time: int = 0
    """When it was written, in milliseconds."""


class Ledger:
    """The newest rows that count, by key; rows are added in the order of the log."""

    def __init__(self, token: int = _NO_CLAIM) -> None:
        """`token` is that of the claim which the rows begin behind, if any."""
        self.newest: dict[bytes, bytes | None] = {}
        self.overwritten: set[bytes] = set()
        """Keys whose last row does not count."""
        self.token = token
        """Of the newest claim."""
        self._times: dict[bytes, int] = {}

    def add(self, row: Row) -> None:
        """Take the next row."""
        if row.key == CLAIM_KEY:
            self.token = row.offset
            return
        token = _NO_CLAIM if row.token is None else row.token
        if token < self.token:
            self.overwritten.add(row.key)
            return
        # The claim itself may have been compacted away.
        self.token = token
        self.newest[row.key] = row.value
        self._times[row.key] = row.time
        self.overwritten.discard(row.key)

    @property
    def values(self) -> dict[bytes, bytes]:
        """The newest value of each key, of those that are not forgotten."""
        return {key: value for key, value in self.newest.items() if value is not None}

    def forget(self, milliseconds: int) -> set[bytes]:
        """Forget the keys that were last written so long before the newest of all; give them back.

        By the log's own times: how long all of it rested, while nobody was there to write, is not held against it.
        """
        oldest = max(self._times.values(), default=0) - milliseconds
        forgotten = {key for key in self.values if self._times[key] < oldest}
        self.newest.update(dict.fromkeys(forgotten))
        return forgotten
