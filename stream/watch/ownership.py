"""The partitions that this worker has read the log of, and what it does where another takes them over.

The broker says who reads a partition; the log says whose rows count. After an outage the two may differ for a
while: the broker has let this worker's session expire and given its partitions away, and it has not heard of
that. Once it finds one of them claimed, it throws all away that it holds, since the others will have gone the
same way, and rests until it must have heard. Those that it is still to read then, it takes over again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from stream.rules import Rules
from stream.spikes.settings import SpikeSettings
from stream.watch.cursor import Cursor, cursor_key, is_cursor
from stream.watch.keeper import Partition
from stream.watch.log import StateLog, TakenOverError

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Owned:
    """A partition that this worker has read the log of."""

    number: int
    subjects: Partition
    cursor: Cursor
    next_save: float = 0.0
    """From when on the cursor is saved behind a tick that left nothing to tell, too."""
    moved_at: float = field(default_factory=time.monotonic)


class Ownership:
    """Claims partitions by their log, saves what becomes of them, and gives them up."""

    def __init__(self, log: StateLog, spikes: SpikeSettings, rules: Rules, *, rest_seconds: float) -> None:
        """`rest_seconds` is how long it may take until a worker hears that it is no member any more."""
        self._log = log
        self._spikes = spikes
        self._rules = rules
        self._rest_seconds = rest_seconds
        self._owned: dict[int, Owned] = {}
        self._lost_at: float | None = None

    def __iter__(self) -> Iterator[Owned]:
        return iter(self._owned.values())

    @property
    def rests(self) -> bool:
        """Whether nothing may be taken, since another worker has taken over what was held."""
        return self._lost_at is not None and time.monotonic() < self._lost_at + self._rest_seconds

    def get(self, number: int) -> Owned | None:
        """A partition, if its log was read."""
        return self._owned.get(number)

    def clear(self) -> None:
        """Give all up: the broker deals the partitions anew."""
        self._owned.clear()
        self._lost_at = None

    async def take(self, number: int, abandoned: Callable[[], bool]) -> Owned | None:
        """What is known of a partition, by its log if need be; None while it rests, or if `abandoned` came true.

        Raises `TakenOverError` where another worker claims it meanwhile: then `lose` all.
        """
        if self.rests:
            return None
        if number in self._owned:
            return self._owned[number]
        rows = await self._log.take_over(number, abandoned)
        if rows is None:
            return None
        cursor = Cursor(number, rows.get(cursor_key(number)))
        states = {key.decode(): state for key, state in rows.items() if not is_cursor(key)}
        logger.info("partition %d: %d subjects, on from offset %d", number, len(states), cursor.following)
        # A hundred thousand take ten seconds, in which the consumers of this process must not fall silent.
        subjects = await asyncio.to_thread(Partition, states, self._spikes, self._rules, time=cursor.time)
        owned = self._owned[number] = Owned(number, subjects, cursor)
        return owned

    async def save(self, owned: Owned, rows: list[tuple[bytes, bytes | None]]) -> None:
        """Write states and behind them the cursor, which must never be read back without those from before it.

        Raises `TakenOverError` where another worker has claimed the partition: then `lose` all.
        """
        while True:
            overwritten = await self._log.write(
                owned.number, [*rows, (owned.cursor.key, owned.cursor.dump())]
            )
            if not overwritten:
                return
            logger.warning(
                "partition %d: an earlier owner wrote over %d rows", owned.number, len(overwritten)
            )
            subjects = [key for key in overwritten if not is_cursor(key)]
            # Of one that is not known here nothing is to be kept: it was forgotten, or is still to come.
            rows = [(key, owned.subjects.state(key.decode())) for key in subjects]

    def lose(self, error: TakenOverError) -> None:
        """Throw away all that is held, and rest.

        Raises the error the second time before `clear`: two workers that both hold to a partition will not agree.
        """
        if self._lost_at is not None:
            raise error
        self._owned.clear()
        self._lost_at = time.monotonic()
        logger.warning("%s: this one rests until the broker has told whose it is", error)
