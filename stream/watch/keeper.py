"""Keeps the subjects of the partitions that a worker owns. Pure: it is given states and gives changes back.

Most subjects rest most of the time. Where nothing is left to tell of one, only its packed state is kept, a tenth
of what it takes at work.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from stream.records import Alert, AlertState, Observation, Observations, Window
from stream.rules import Rules
from stream.spikes.settings import SpikeSettings
from stream.spikes.subject import Outcome, Subject


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one subject: first publish alerts and windows, then save its state."""

    subject: str
    alerts: list[Alert]
    windows: list[Window]
    outcomes: list[tuple[Observation, Outcome]] = field(default_factory=list)


class Partition:
    """The subjects of one partition of `sentiment.observed`.

    `states` is what its log holds of each subject. Raises `StateError` where that cannot be read.
    """

    def __init__(
        self,
        states: Mapping[str, bytes],
        settings: SpikeSettings,
        rules: Rules | None = None,
        *,
        rests: bool = True,
        time: datetime | None = None,
    ) -> None:
        """Without `rests` no subject rests, since packing takes most of the time.

        `time` is what the subjects were last told by `pass_time`: what did not change them was not saved, and an
        alert that begins now is to have the id that it would have had for the owner before.
        """
        self._settings = settings
        self._rests = rests
        self._rules = rules or Rules()
        self._awake: dict[str, Subject] = {}
        self._resting = dict(states)
        # An alert that fires or a row not yet published must not wait for the subject's next event.
        self._active: set[str] = set()
        self._told_time = time
        self.time: datetime | None = None
        """The newest event time that this partition has heard of."""
        for name, state in states.items():
            subject = self._load(name, state)
            self._moved_to(subject.clock)
            if subject.active:
                self._wake(subject)
                self._active.add(name)
        if time is not None:
            self._moved_to(time)
            for name in self._active:
                subject = self._awake[name]
                silenced = self._is_silenced(subject)
                subject.advance(time)
                self._tell_again(subject, silenced=silenced)

    def __len__(self) -> int:
        return len(self._awake) + len(self._resting)

    @property
    def awake(self) -> int:
        """How many subjects are at work; the others rest."""
        return len(self._awake)

    def apply(self, record: Observations) -> Change:
        """Count a record's observations, each once."""
        subject = self._subject(record.subject)
        silenced = self._is_silenced(subject)
        outcomes = [
            (observation, subject.observe(observation, record.bundle)) for observation in record.observations
        ]
        if self._told_time is not None:
            # A subject that rested, or is new, was not told it, but the next owner tells all that are at work: its
            # alerts would begin at another minute, and have another id.
            subject.advance(self._told_time)
        self._moved_to(subject.clock)
        return self._change(record.subject, counted=True, outcomes=outcomes, silenced=silenced)

    def count(self, name: str, time: datetime, negatives: int) -> Change:
        """Count negatives of which nothing but their number is known."""
        subject = self._subject(name)
        subject.count(time, negatives)
        self._moved_to(subject.clock)
        return self._change(name, counted=True)

    @property
    def alerted(self) -> bool:
        """Whether an alert is not over yet."""
        return any(self._awake[name].alerted for name in self._active)

    def pass_time(self, time: datetime) -> Iterable[Change]:
        """Let event time reach `time`; give back the subjects where that leaves something to tell.

        Where it does not, the state need not be saved either: time that passed is made up for by the next tick.
        """
        self._moved_to(time)
        self._told_time = time
        for name in sorted(self._active):
            subject = self._awake[name]
            silenced = self._is_silenced(subject)
            subject.advance(time)
            change = self._change(name, counted=False, silenced=silenced)
            if change.alerts or change.windows:
                yield change

    def state(self, name: str) -> bytes | None:
        """A subject's state as it is now, once what became of it was taken; None where it has none here."""
        subject = self._awake.get(name)
        return self._resting.get(name) if subject is None else subject.dump()

    def firing(self) -> Iterable[Alert]:
        """The alerts that fire now, muted ones left out."""
        for name in self._active:
            alert = self._awake[name].current
            if alert is not None and alert.state is AlertState.FIRING and not self._rules.judge(alert).muted:
                yield alert

    def _is_silenced(self, subject: Subject) -> bool:
        """Whether an alert fires, and a rule speaks against telling it at the subject's own time."""
        alert = subject.current if len(self._rules) and subject.alerted else None
        return (
            alert is not None
            and alert.state is AlertState.FIRING
            and self._rules.judge(alert).muted is not None
        )

    def _tell_again(self, subject: Subject, *, silenced: bool) -> None:
        """Give an alert that was `silenced` a further revision once no rule speaks against it."""
        if silenced and subject.alerted and not self._is_silenced(subject):
            subject.tell_again()

    def _subject(self, name: str) -> Subject:
        subject = self._awake.get(name)
        if subject is None:
            state = self._resting.get(name)
            settings = self._rules.settings(name, self._settings)
            subject = Subject(name, settings) if state is None else self._load(name, state)
            self._wake(subject)
        return subject

    def _load(self, name: str, state: bytes) -> Subject:
        return Subject.load(name, state, self._rules.settings(name, self._settings))

    def _wake(self, subject: Subject) -> None:
        self._awake[subject.name] = subject
        self._resting.pop(subject.name, None)

    def _rest(self, name: str, state: bytes) -> None:
        """Keep of a subject that has nothing left to tell what `Subject.load` reads."""
        self._resting[name] = state
        del self._awake[name]

    def _change(
        self,
        name: str,
        *,
        counted: bool,
        outcomes: list[tuple[Observation, Outcome]] | None = None,
        silenced: bool = False,
    ) -> Change:
        """What is to be told and saved of a subject.

        Where something was `counted`, rows wait until they are closed. `silenced` says whether a rule kept an
        alert quiet until now; once none does, it is told.
        """
        subject = self._awake[name]
        alerts = subject.take_alerts()
        if alerts:
            # The newest revision may itself be from before the time that the subject has come to.
            silenced = alerts[-1].state is AlertState.FIRING and bool(self._rules.judge(alerts[-1]).muted)
        self._tell_again(subject, silenced=silenced)
        alerts += subject.take_alerts()
        told = [self._told(subject, alert) for alert in alerts]
        windows = subject.take_windows(closed_only=counted)
        active = subject.active
        (self._active.add if active else self._active.discard)(name)
        if self._rests and not active:
            # After what was taken, which is not to be taken again.
            self._rest(name, subject.dump())
        return Change(name, told, windows, outcomes or [])

    def _told(self, subject: Subject, alert: Alert) -> Alert:
        """The alert as the rules have it, but that who was told that it fires is told of its end."""
        judged = self._rules.judge(alert)
        if alert.state is AlertState.RESOLVED:
            judged = alert if subject.told else judged
            subject.told = False
        elif alert.state is AlertState.FIRING and judged.muted is None:
            subject.told = True
        return judged

    def _moved_to(self, time: datetime | None) -> None:
        if time is not None and (self.time is None or time > self.time):
            self.time = time
