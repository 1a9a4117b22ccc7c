"""Records of a partition that wait together: what becomes of them, and what of that is to be sent. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from stream.records import Alert, Observations, Tick, Window
from stream.watch.keeper import Change
from stream.watch.ownership import Owned


class Part(NamedTuple):
    """What became of one record."""

    changes: list[Change]
    recorded_at: float | None
    """When the broker took the observations, in Unix seconds; None for another record."""


class Batch:
    """Applies records to a partition's subjects and its cursor, and gathers what is to be sent and saved."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned
        self.parts: list[Part] = []
        self.due = False
        """Whether anything is to be saved: of ticks that left nothing to tell not each is."""
        self.observations = 0
        """How many its records held."""

    def apply(
        self, offset: int, record: Observations | Tick | None, recorded_at: float, *, now: float
    ) -> None:
        """Handle the record at `offset`, None for one that cannot be read; `now` as for `Owned.next_save`."""
        owned = self._owned
        changes: list[Change] = []
        tick: datetime | None = None
        if isinstance(record, Tick):
            if owned.cursor.heeds(record.tick):
                tick = record.tick
                changes = list(owned.subjects.pass_time(tick))
                # In a backlog of ticks not each waits for the broker: a new owner reads and heeds them again.
                self.due = self.due or bool(changes) or now >= owned.next_save
        else:
            self.due = True
            if record is not None:
                self.observations += len(record.observations)
                changes = [owned.subjects.apply(record)]
        owned.cursor.pass_over(offset, tick)
        self.parts.append(Part(changes, recorded_at if isinstance(record, Observations) else None))

    @property
    def alerts(self) -> Iterator[tuple[Alert, bool]]:
        """All revisions in order, and whether each is the newest of its alert."""
        alerts = [alert for change in self._changes for alert in change.alerts]
        newest = {alert.id: alert for alert in alerts}
        return ((alert, alert is newest[alert.id]) for alert in alerts)

    @property
    def rows(self) -> dict[str, Window]:
        """The newest row of the trend by its key: those before it would be compacted away."""
        return {window.key: window for change in self._changes for window in change.windows}

    @property
    def states(self) -> list[tuple[bytes, bytes | None]]:
        """The states of the subjects that changed, as they are now."""
        states: list[tuple[bytes, bytes | None]] = []
        for name in dict.fromkeys(change.subject for change in self._changes):
            state = self._owned.subjects.state(name)
            # None would be a tombstone, and all that is known of the subject gone.
            assert state is not None
            states.append((name.encode(), state))
        return states

    @property
    def _changes(self) -> Iterator[Change]:
        return (change for part in self.parts for change in part.changes)
