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
        self._subjects = Partition({}, settings, rules, saves=False)
        self._began: datetime | None = None
        self._last: datetime | None = None
        self._reached: datetime | None = None
        self._alerts: dict[str, Alert] = {}
        self._told: set[str] = set()
        """Those of which a firing revision was not muted."""
        self._windows: dict[str, Window] = {}

    @property
    def alerts(self) -> list[Alert]:
        """The last revision of each alert that fired and was told, in the order of firing."""
        fired = [alert for alert in self._alerts.values() if alert.id in self._told]
        return sorted(fired, key=lambda alert: (alert.fired_at or alert.started_at, alert.subject))

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
        while self._reached is not None and self._subjects.alerted and self._reached + TICK < time:
            self._reached += TICK
            self._keep(self._subjects.pass_time(self._reached))
        if self._reached is None or time - self._reached >= TICK:
            self._keep(self._subjects.pass_time(time))
        self._began = self._began or time
        self._reached = time if self._reached is None else max(self._reached, time)

    def finish(self) -> None:
        """After the last event: let every alert come to its end, and tell the rows that are left."""
        if self._reached is not None:
            self._last = self._reached
            self.pass_to(self._reached + LONGEST_END)

    def _keep(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._alerts.update({alert.id: alert for alert in change.alerts})
            self._told |= {
                alert.id
                for alert in change.alerts
                if alert.state is AlertState.FIRING and alert.muted is None
            }
            self._windows.update({row.key: row for row in change.windows})
