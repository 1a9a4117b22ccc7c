"""One subject's detector: what goes in, what comes out, and the state of at most 4 KB in between.

Pure: no Kafka, no wall clock, no model. Time is the event time of what it has seen, or what `advance` says.
"""

import hashlib
from collections import deque
from datetime import UTC, datetime
from typing import Any, Self

from pydantic_core import from_json, to_json

from stream.records import Alert, AlertState, Observation, Window
from stream.spikes.evidence import Proof
from stream.spikes.history import History
from stream.spikes.lifecycle import Life, Lifecycle
from stream.spikes.novelty import SIGNATURE_BYTES, Novelty, read_signature
from stream.spikes.reason import reason
from stream.spikes.settings import SpikeSettings
from stream.spikes.sources import Outcome, Sources
from stream.spikes.state import (
    StateError,
    pack_bytes,
    pack_floats,
    pack_integers,
    unpack_bytes,
    unpack_floats,
    unpack_integers,
)
from stream.spikes.surge import find_peaks, find_reached, find_surges
from stream.spikes.trend import significant

__all__ = ["Outcome", "StateError", "Subject"]

FORMAT = 1
ZONED_FORMAT = 2
"""Of a state whose hours went by other clocks than UTC's: versions that know none would take them for those."""
_MINUTE = 60
_ID_BYTES = 6
_IDS = 24


class Subject:
    """What is watched under one name, and what is known of it."""

    def __init__(self, name: str, settings: SpikeSettings) -> None:
        self.name = name
        self._settings = settings
        self._bundle: str | None = None
        self._sources = Sources()
        self._ids: deque[bytes] = deque(maxlen=_IDS)
        self._novelty = Novelty()
        self._proof = Proof(settings.evidence)
        self._cycle = Lifecycle(
            name,
            resolve_after_seconds=settings.resolve_after_seconds,
            refractory_seconds=settings.refractory,
        )
        self._history = History(name, settings, self._cycle.covers)
        self._alerts: list[Alert] = []
        self._counts_alone = False

    def observe(self, observation: Observation, bundle: str) -> Outcome:
        """Count an observation, judged by the model of `bundle`, once."""
        time = int(observation.time.timestamp())
        outcome = self._sources.judge(
            observation.position,
            time,
            lateness=self._settings.lateness_seconds,
            oldest=self._history.oldest(time),
        )
        if outcome is not Outcome.COUNTED:
            return outcome
        if self._sent_twice(observation):
            return Outcome.REPEAT
        if self._history.clock is None:
            self._history.begin(time)
        self._move(time)
        self._bundle = bundle
        if observation.sentiment == "negative":
            weight, story = self._novelty.weigh(read_signature(observation.signature), time)
            self._history.count(time, observation.sentiment, weight)
            self._prove(observation, time, story)
            self._test({time, self._history.now})
        else:
            self._history.count(time, observation.sentiment)
        return Outcome.COUNTED

    def count(self, time: datetime, negatives: int) -> None:
        """Count negatives of which nothing but their number is known, in the order of their times.

        Raises `ValueError` where `time` lies before the clock: without positions a repeat cannot be told.
        """
        moment = int(time.timestamp())
        if self._history.clock is None:
            self._history.begin(moment)
        elif moment < self._history.clock:
            raise ValueError(f"{time.isoformat()} comes after a later time")
        self._move(moment)
        self._counts_alone = True
        self._history.note_row(moment)
        if negatives:
            self._history.count(moment, "negative", number=negatives)
            self._test({moment})

    def advance(self, time: datetime) -> None:
        """Let event time reach `time` though no event came."""
        if self._history.clock is not None:
            self._move(int(time.timestamp()))

    @property
    def clock(self) -> datetime | None:
        """The newest time seen; None before the first event."""
        clock = self._history.clock
        return None if clock is None else _moment(clock)

    @property
    def active(self) -> bool:
        """Whether something would happen if time passed: an alert is not over, or a row not told for good."""
        return self._cycle.active or self._history.trend.waiting

    @property
    def alerted(self) -> bool:
        """Whether there is an alert that is not over."""
        return self._cycle.active

    @property
    def current(self) -> Alert | None:
        """The alert as it is now, where there is one that is not over."""
        return self._told(self._cycle.life) if self._cycle.life is not None and self._cycle.active else None

    @property
    def told(self) -> bool:
        """Whether people were told that an alert fires, and not yet of its end; who tells them says so here."""
        return self._cycle.life is not None and self._cycle.life.told

    @told.setter
    def told(self, told: bool) -> None:
        if self._cycle.life is not None:
            self._cycle.life.told = told

    def tell_again(self) -> None:
        """Give the alert as it is now a further revision."""
        self._cycle.tell_again()
        self._publish()

    def take_alerts(self) -> list[Alert]:
        """The revisions since the last call, oldest first.

        They are not part of the state: take them before `dump`.
        """
        alerts, self._alerts = self._alerts, []
        return alerts

    def take_windows(self, *, closed_only: bool) -> list[Window]:
        """The trend's rows that changed since they were taken, oldest first.

        With `closed_only` those whose interval and lateness have passed, else the provisional ones too.
        A row that left the memory untaken is handed out by the next call, but it is no part of the state:
        take before `dump`.
        """
        history = self._history
        return history.trend.take(history.clock, history.expect, closed_only=closed_only)

    def _sent_twice(self, observation: Observation) -> bool:
        """Whether a producer sent this event before: the same id with the same text."""
        name = f"{observation.id}|{observation.signature}".encode()
        digest = hashlib.blake2b(name, digest_size=_ID_BYTES).digest()
        if digest in self._ids:
            return True
        self._ids.append(digest)
        return False

    def _move(self, time: int) -> None:
        # An alert is looked at every minute, however seldom time is told: it ends when it would have ended.
        before = self._history.now // _MINUTE
        minute = before
        while self._cycle.active and minute < time // _MINUTE:
            minute += 1
            self._history.move(minute * _MINUTE)
            self._settle()
        self._history.move(time)
        if not self._cycle.active and before < time // _MINUTE:
            self._proof.fade(time, self._settings.windows_seconds[-1] // 2)

    def _settle(self) -> None:
        """Keep the alert while some window is still near its level, else let it run out."""
        now = self._history.now
        peaks = find_peaks(self._history, self._settings, now, active=True, since=self._cycle.since)
        found, _ = find_surges(peaks, self._history, self._settings, firing=self._cycle.firing)
        if found or find_reached(self._history, self._settings, now, active=True):
            self._cycle.stay(now)
        elif self._cycle.pass_time(now):
            self._publish()

    def _test(self, ends: set[int]) -> None:
        """Test the windows that end at each of `ends`."""
        active, firing, since = self._cycle.active, self._cycle.firing, self._cycle.since
        findings = []
        for end in sorted(ends):
            peaks = find_peaks(self._history, self._settings, end, active=active, since=since)
            found, opened = find_surges(peaks, self._history, self._settings, firing=firing)
            # Judged by the gate, though an alert goes on by volume alone: else a threshold that is often reached
            # would make it seem that the gate lets all through.
            if opened is not None:
                self._history.tails.count(end, opened=opened)
            findings += found
            findings += find_reached(self._history, self._settings, end, active=active)
            for peak in peaks:
                self._history.tails.learn(peak.window, peak.alarms, end)
        if self._cycle.see(findings, self._history.now):
            self._publish()

    def _prove(self, observation: Observation, time: int, story: int) -> None:
        """Keep a negative as evidence of the surge that goes on, or of one that might be about to begin."""
        life, windows, now = self._cycle.life, self._settings.windows_seconds, self._history.now
        if life is not None and self._cycle.active:
            oldest = fresh = life.seen_from
        else:
            oldest, fresh = now - windows[-1], now - windows[0]
        self._proof.forget(oldest)
        self._proof.add(observation, time, story, fresh=fresh)

    def _publish(self) -> None:
        if self._cycle.life is not None:
            self._alerts.append(self._told(self._cycle.life))

    def _told(self, life: Life) -> Alert:
        now = self._history.now
        finding = life.strongest
        topics = self._proof.topics
        resolved = life.resolved if life.state is AlertState.RESOLVED else None
        after_another = life.since <= finding.start < life.since + self._settings.interval_seconds
        return Alert(
            id=self._cycle.id,
            revision=life.revision,
            subject=self.name,
            state=life.state,
            severity=life.severity,
            started_at=_moment(life.started),
            updated_at=_moment(now if resolved is None else resolved),
            fired_at=None if life.fired is None else _moment(life.fired),
            resolved_at=None if resolved is None else _moment(resolved),
            window_seconds=finding.seconds,
            negative=finding.negative,
            total=finding.total,
            expected_negative=significant(finding.expected),
            expected_share=round(finding.expected_share, 4),
            probability=finding.probability,
            peak_negative=life.peaks[finding.seconds],
            topics=topics,
            evidence=self._proof.worst(life.seen_from),
            reason=reason(finding, topics, after_another=after_another, others_known=not self._counts_alone),
            bundle=self._bundle,
        )

    def dump(self) -> bytes:
        """The state as compact JSON."""
        if self._history.clock is None:
            return to_json({"v": FORMAT})
        numbers, floats = self._history.dump()
        sources = self._sources.dump()
        signatures, stories = self._novelty.dump()
        return to_json(
            {
                "v": ZONED_FORMAT if self._history.offset else FORMAT,
                "signatures": pack_bytes(b"".join(signatures)),
                "ids": pack_bytes(b"".join(self._ids)),
                "numbers": pack_integers([len(stories), len(sources), *stories, *sources, *numbers]),
                "floats": pack_floats(floats),
                "others": pack_floats(self._history.others.dump()),
                "offset": self._history.offset,
                "proof": self._proof.dump(),
                "alert": self._cycle.dump(),
                "past": self._cycle.dump_past(),
                "bundle": self._bundle,
            }
        )

    @classmethod
    def load(cls, name: str, state: bytes, settings: SpikeSettings) -> Self:
        """The subject whose `dump` gave `state`.

        Raises StateError where the state is of another version or damaged.
        """
        subject = cls(name, settings)
        try:
            subject._read(from_json(state))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise StateError(f"the state of {name} cannot be read: {error}") from error
        return subject

    def _read(self, state: dict[str, Any]) -> None:
        if state["v"] not in (FORMAT, ZONED_FORMAT):
            raise StateError(
                f"the state of {self.name} has format {state['v']}, this version reads up to {ZONED_FORMAT}"
            )
        if len(state) == 1:
            return
        stories, sources, *numbers = unpack_integers(state["numbers"])
        signatures = _slices(unpack_bytes(state["signatures"]), SIGNATURE_BYTES)
        self._ids.extend(_slices(unpack_bytes(state["ids"]), _ID_BYTES))
        self._novelty.load(signatures, numbers[:stories])
        self._sources.load(numbers[stories : stories + sources])
        others = unpack_floats(state["others"]) if "others" in state else None
        self._history.load(
            numbers[stories + sources :],
            unpack_floats(state["floats"]),
            others,
            offset=state.get("offset", 0),
        )
        self._proof.load(state["proof"])
        self._cycle.load(state["alert"])
        self._cycle.load_past(state.get("past", []))
        self._bundle = state["bundle"]


def _slices(content: bytes, size: int) -> list[bytes]:
    return [content[i : i + size] for i in range(0, len(content), size)]


def _moment(time: int) -> datetime:
    return datetime.fromtimestamp(time, UTC)
