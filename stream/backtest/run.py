"""Runs the detector over history in event time, as the watch stage runs it live. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from stream.records import Alert, AlertState, Observation, Observations, Window
from stream.rules import Rules
from stream.spikes.settings import SpikeSettings
from stream.watch.keeper import Change, Partition

TICK = timedelta(seconds=60)
"""How often time passes while something is alerted; live it is every second or so."""
LONGEST_END = timedelta(days=3)
"""After the last event no alert lives longer than this."""


class Backtest:
    """Takes observations in the order of their times and gathers what the stream would have published."""

    def __init__(self, settings: SpikeSettings, rules: Rules | None = None) -> None:
        self._subjects = Partition({}, settings, rules, rests=False)
        self._began: datetime | None = None
        self._last: datetime | None = None
        self._reached: datetime | None = None
        self._ticked: datetime | None = None
        """Kept apart from `_reached`: in a busy stream events come more often than ticks."""
        self._latest: dict[str, Alert] = {}
        """The latest revision of each alert."""
        self._reopened: dict[str, dict[str, datetime]] = {}
        """When the latest surge of an alert that was reopened began, and when it fired."""
        self._surges: dict[tuple[str, datetime | None], Alert] = {}
        """What was told last of each surge, by its alert and when it fired."""
        self._told_at: dict[tuple[str, datetime | None], datetime] = {}
        """When it was first told of it, which rules may put off."""
        self._windows: dict[str, Window] = {}

    @property
    def alerts(self) -> list[Alert]:
        """Each surge of which it was told that its alert fires, in the order of firing and with how it ended.

        An alert that is reopened fires again: it is there once for each of its surges, with that one's own times.
        """
        surges = self._surges.values()
        return sorted(surges, key=lambda alert: (alert.fired_at or alert.started_at, alert.subject))

    def told_at(self, alert: Alert) -> datetime:
        """When one of `alerts` was first told: later than it fired where a rule muted it until then."""
        return self._told_at[alert.id, alert.fired_at]

    @property
    def length(self) -> timedelta:
        """From the first event to the last."""
        if self._began is None or self._last is None:
            return timedelta(0)
        return self._last - self._began

    @property
    def windows(self) -> list[Window]:
        """The trend's rows, by subject and time."""
        return sorted(self._windows.values(), key=lambda row: (row.subject, row.start))

    def take(self, time: datetime, pairs: Iterable[tuple[str, Observation]], bundle: str) -> None:
        """An event's observations, by subject; `time` is where the stream has got to with it."""
        self.pass_to(time)
        for subject, observation in pairs:
            record = Observations(subject=subject, bundle=bundle, observations=[observation])
            self._keep([self._subjects.apply(record)])

    def count(self, time: datetime, subject: str, negatives: int) -> None:
        """So many negatives of which nothing else is known."""
        self.pass_to(time)
        self._keep([self._subjects.count(subject, time, negatives)])

    def pass_to(self, time: datetime) -> None:
        """Let time reach `time`: step by step while an alert may end, else at once."""
        while self._ticked is not None and self._ticked + TICK < time and self._subjects.alerted:
            self._tick(self._ticked + TICK)
        if self._ticked is None or time - self._ticked >= TICK:
            self._tick(time)
        elif not self._subjects.alerted:
            # Nothing waits to be told: only a pause lets time pass.
            self._ticked = max(self._ticked, time)
        self._began = self._began or time
        self._reached = time if self._reached is None else max(self._reached, time)

    def finish(self) -> None:
        """After the last event: let every alert come to its end, and tell the rows that are left."""
        if self._reached is not None:
            self._last = self._reached
            self.pass_to(self._reached + LONGEST_END)

    def _tick(self, time: datetime) -> None:
        self._ticked = time
        self._keep(self._subjects.pass_time(time))

    def _keep(self, changes: Iterable[Change]) -> None:
        for change in changes:
            for alert in change.alerts:
                self._hear(alert)
            self._windows.update({row.key: row for row in change.windows})

    def _hear(self, alert: Alert) -> None:
        """Keep a revision as what is known of its surge, if that was told."""
        before = self._latest.get(alert.id)
        self._latest[alert.id] = alert
        if before is not None and before.fired_at and before.resolved_at:
            # The record keeps the times of the first surge.
            began = alert.updated_at - timedelta(seconds=alert.window_seconds)
            self._reopened[alert.id] = {
                "started_at": max(began, before.resolved_at),
                "fired_at": alert.updated_at,
            }
        surge = alert.model_copy(update=self._reopened.get(alert.id))
        place = surge.id, surge.fired_at
        told = alert.state is AlertState.FIRING and alert.muted is None
        if told:
            self._told_at.setdefault(place, alert.updated_at)
        if told or (alert.state is AlertState.RESOLVED and place in self._surges):
            self._surges[place] = surge
