"""The demo's picture of the stream: what the trend and the alerts say, folded into rows to show. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from stream.labels import ALL, ENTITY_SUBJECT
from stream.records import Alert, AlertState, Severity, Window
from stream.score.compose import topic_subject
from stream.watchlist import Watchlist, subject_of

RECENT = timedelta(hours=6)
DAY = timedelta(hours=24)

_ROWS_KEPT = 400
_TOPIC = topic_subject("")


class Counts(NamedTuple):
    """One interval of one subject."""

    negative: int
    total: int
    seconds: int


class Span(NamedTuple):
    """When an alert was on, in event time; without an end it still is."""

    start: datetime
    end: datetime | None
    severity: Severity


@dataclass(frozen=True)
class Row:
    """A subject as it is shown."""

    subject: str
    label: str
    total: int
    """Events within `RECENT` of the newest interval."""
    negative: int
    trend: Sequence[int]
    """Negatives per cell over the last `DAY`, oldest first."""
    severities: Sequence[Severity | None]
    """For each cell of the trend: how severe an alert was on in it."""
    alert: Alert | None
    """The newest alert, if it is not over or was on within the last `DAY`."""

    @property
    def share(self) -> float | None:
        """Share of negatives among the recent events."""
        return self.negative / self.total if self.total else None


@dataclass
class Picture:
    """Takes rows of the trend and alert revisions in any order, repeats included."""

    names: Mapping[str, str] = field(default_factory=dict)
    """What people call a subject; of the watch list these are always shown."""
    time: datetime | None = None
    """The end of the newest interval that anything was counted in."""
    alerts: dict[str, Alert] = field(default_factory=dict)
    """The newest revision of each alert by its id, the one that changed last at the end."""
    spans: dict[str, list[Span]] = field(default_factory=dict)
    """When each alert was on, by its id: one that is reopened is on again."""
    _rows: dict[str, dict[datetime, Counts]] = field(default_factory=dict)
    _all: dict[datetime, int] = field(default_factory=dict)

    def take_window(self, window: Window) -> None:
        """A row of the trend replaces what was known of its interval."""
        total = window.negative + window.neutral + window.positive
        rows = self._rows.setdefault(window.subject, {})
        rows[window.start] = Counts(window.negative, total, window.seconds)
        if len(rows) > _ROWS_KEPT:
            for start in sorted(rows)[: _ROWS_KEPT // 2]:
                del rows[start]
        if window.subject == ALL:
            self._all[window.start] = total
        end = window.start + timedelta(seconds=window.seconds)
        self.time = end if self.time is None else max(self.time, end)

    def take_alert(self, alert: Alert) -> bool:
        """Whether this revision is news."""
        known = self.alerts.get(alert.id)
        if known is not None and known.revision >= alert.revision:
            return False
        self.alerts.pop(alert.id, None)
        self.alerts[alert.id] = alert
        if alert.fired_at:
            spans = self.spans.setdefault(alert.id, [])
            if spans and spans[-1].end is None:
                start = spans.pop().start
            else:
                # A record keeps only when its alert first fired.
                start = alert.updated_at if spans else alert.fired_at
            spans.append(Span(start, alert.resolved_at, alert.severity))
        return True

    @property
    def counted(self) -> int:
        """Events that the trend of `all` counts."""
        return sum(self._all.values())

    @property
    def fired(self) -> list[Alert]:
        """The alerts that fire or have fired, the one that changed last first."""
        return [alert for alert in reversed(self.alerts.values()) if alert.fired_at]

    def label(self, subject: str) -> str:
        """What people call a subject."""
        if subject == ALL:
            return "everything"
        return self.names.get(subject) or subject.removeprefix(ENTITY_SUBJECT).removeprefix(_TOPIC)

    def title(self, subject: str) -> str:
        """The label, with the ticker where there is a name."""
        ticker = subject.removeprefix(ENTITY_SUBJECT)
        return f"{self.names[subject]} ({ticker})" if subject in self.names else self.label(subject)

    def rows(self, count: int, cells: int) -> list[Row]:
        """At most `count` rows with trends of at most `cells` cells.

        They stand in an order that does not change: `all`, companies, topics. Where there is no room for
        all, those with an alert stay, then the watch list, then those most spoken about.
        """
        subjects = {ALL, *self.names, *self._rows}
        chosen = sorted(subjects, key=self._rank)[:count]
        return [self._row(subject, cells) for subject in sorted(chosen, key=self._place)]

    def _rank(self, subject: str) -> tuple[bool, bool, bool, int, str]:
        alert = self._alert(subject)
        on = alert is not None and alert.state is AlertState.FIRING
        total = self._total(subject, DAY)
        return subject != ALL, not on, subject not in self.names, -total, subject

    def _place(self, subject: str) -> tuple[int, int, str]:
        order = list(self.names)
        if subject == ALL:
            return 0, 0, ""
        if subject in self.names:
            return 1, order.index(subject), ""
        return (3 if subject.startswith(_TOPIC) else 2), 0, subject

    def _row(self, subject: str, cells: int) -> Row:
        recent = self._recent(subject, RECENT)
        trend, starts, step = self._trend(subject, cells)
        spans = self._spans(subject)
        return Row(
            subject=subject,
            label=self.label(subject),
            total=sum(counts.total for _, counts in recent),
            negative=sum(counts.negative for _, counts in recent),
            trend=trend,
            severities=[_severity(spans, start, start + step) for start in starts],
            alert=self._alert(subject),
        )

    def _recent(self, subject: str, length: timedelta) -> list[tuple[datetime, Counts]]:
        if self.time is None:
            return []
        since = self.time - length
        return [(start, counts) for start, counts in self._rows.get(subject, {}).items() if start >= since]

    def _total(self, subject: str, length: timedelta) -> int:
        return sum(counts.total for _, counts in self._recent(subject, length))

    def _trend(self, subject: str, cells: int) -> tuple[list[int], list[datetime], timedelta]:
        """Negatives per cell, each cell's start, and its length: a whole number of intervals.

        Cells begin at fixed times, so that bars move by whole places and do not shimmer.
        """
        interval = next((each.seconds for rows in self._rows.values() for each in rows.values()), 900)
        intervals = int(DAY.total_seconds()) // interval
        step = interval * max(1, -(-intervals // max(1, cells)))
        count = max(1, int(DAY.total_seconds()) // step)
        if self.time is None:
            return [0] * count, [], timedelta(seconds=step)
        last = (int(self.time.timestamp()) - 1) // step
        trend = [0] * count
        for start, counts in self._recent(subject, DAY + timedelta(seconds=step)):
            place = int(start.timestamp()) // step - last + count - 1
            if 0 <= place < count:
                trend[place] += counts.negative
        starts = [datetime.fromtimestamp((last - count + 1 + i) * step, UTC) for i in range(count)]
        return trend, starts, timedelta(seconds=step)

    def _alert(self, subject: str) -> Alert | None:
        for alert in reversed(self.alerts.values()):
            if alert.subject == subject and self._is_shown(alert):
                return alert
        return None

    def _is_shown(self, alert: Alert) -> bool:
        if alert.state is not AlertState.RESOLVED:
            return True
        ended = alert.resolved_at or alert.updated_at
        return alert.fired_at is not None and (self.time is None or ended > self.time - DAY)

    def _spans(self, subject: str) -> list[Span]:
        alerts = [alert for alert in self.alerts.values() if alert.subject == subject]
        return [span for alert in alerts for span in self.spans.get(alert.id, [])]


def _severity(spans: Sequence[Span], start: datetime, end: datetime) -> Severity | None:
    touching = [
        span.severity for span in spans if span.start < end and (span.end is None or span.end > start)
    ]
    return max(touching, key=list(Severity).index) if touching else None


def names_of(watchlist: Watchlist) -> dict[str, str]:
    """What people call the subjects of a watch list, in its order."""
    return {subject_of(mention): mention.name for mention in watchlist.mentions}
