"""One subject's detector: counts, baseline, tests and alert, kept in a state of at most 4 KB.

Pure: no Kafka, no wall clock, no model. Time is the event time of what it has seen, or what `advance` says.
"""

import hashlib
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json, to_json

from stream.records import Alert, AlertState, Observation, Window
from stream.spikes.baseline import HOUR, Baseline, Forecast, Recent, spread
from stream.spikes.counts import BUCKETS, Ring
from stream.spikes.dispersion import Dispersion
from stream.spikes.evidence import Proof
from stream.spikes.lifecycle import Finding, Lifecycle
from stream.spikes.novelty import UNIT, Novelty, read_signature
from stream.spikes.reason import reason
from stream.spikes.settings import MINUTE_WINDOWS_SECONDS, SpikeSettings
from stream.spikes.sources import Outcome, Sources
from stream.spikes.state import (
    StateError,
    pack_bytes,
    pack_integers,
    unpack_bytes,
    unpack_integers,
)
from stream.spikes.surprise import alarms_per_day, others_are_usual, share_rises
from stream.spikes.trend import NEGATIVE, WEIGHT, Trend

__all__ = ["Outcome", "Subject"]

FORMAT = 1
_MINUTE = 60
# Columns of the minutes' ring.
_NEGATIVES, _EVENTS, _WEIGHTS = range(3)
_ID_BYTES = 6
_IDS = 24
# A test is near its level within this factor of it.
_NEAR = 10.0
# Less history than this tells nothing.
_LEAST_HISTORY_HOURS = 1.0
_YOUNG_HOURS = 24.0


class Subject:
    """What is watched under one name, and what is known of it."""

    def __init__(self, name: str, settings: SpikeSettings) -> None:
        self.name = name
        self._settings = settings
        self._windows = settings.windows_seconds
        self._longest = self._windows[-1]
        self._budget = settings.false_alarms_per_day / len(self._windows)
        self._clock: int | None = None
        self._since = 0
        """Time of the first event."""
        self._newest = 0
        """Time of the newest event, which `advance` does not move."""
        self._learned = 0
        """Index of the first interval that the baseline has not learned."""
        self._filled = 0
        """Index of the last learned interval that was not empty."""
        self._blocks = [0] * len(self._windows)
        """By window: index of the first block that the dispersion has not learned."""
        self._bundle: str | None = None
        self._sources = Sources()
        self._ids: deque[bytes] = deque(maxlen=_IDS)
        self._minutes = Ring(_MINUTE, 3)
        self._trend = Trend(name, settings.interval_seconds, settings.lateness_seconds)
        self._baseline = Baseline(settings.half_life_days)
        self._dispersion = Dispersion(self._windows, settings.half_life_days)
        self._baseline.set_dispersion(self._dispersion.near(HOUR))
        self._novelty = Novelty()
        self._proof = Proof(settings.evidence)
        self._cycle = Lifecycle(
            name,
            len(self._windows),
            resolve_after_seconds=settings.resolve_after_seconds,
            refractory_seconds=settings.refractory_seconds,
        )
        self._alerts: list[Alert] = []

    # What goes in

    def observe(self, observation: Observation, bundle: str) -> Outcome:
        """Count an observation, judged by the model of `bundle`, once."""
        time = int(observation.time.timestamp())
        if self._clock is None:
            self._begin(time)
        oldest = self._trend.ring.first * self._trend.ring.seconds
        newest = max(time, self._clock or 0)
        # An event that moves the clock shifts the memory's start before it is judged.
        oldest = max(oldest, (newest // self._trend.ring.seconds - BUCKETS + 1) * self._trend.ring.seconds)
        outcome = self._sources.judge(
            observation.position, time, lateness=self._settings.lateness_seconds, oldest=oldest
        )
        if outcome is not Outcome.COUNTED:
            return outcome
        if self._sent_twice(observation):
            return Outcome.REPEAT
        self._move(time)
        self._newest = max(self._newest, time)
        self._bundle = bundle
        self._count(observation, time)
        return Outcome.COUNTED

    def advance(self, time: datetime) -> None:
        """Let event time reach `time` though no event came."""
        if self._clock is not None:
            self._move(int(time.timestamp()))

    def _sent_twice(self, observation: Observation) -> bool:
        """Whether a producer sent this event before: the same id with the same text."""
        name = f"{observation.id}|{observation.signature}".encode()
        digest = hashlib.blake2b(name, digest_size=_ID_BYTES).digest()
        if digest in self._ids:
            return True
        self._ids.append(digest)
        return False

    def _count(self, observation: Observation, time: int) -> None:
        negative = observation.sentiment == "negative"
        weight, story = 0, 0
        if negative:
            weight, story = self._novelty.weigh(read_signature(observation.signature), time)
        self._trend.count(time, observation.sentiment, weight)
        if time // self._trend.ring.seconds < self._learned:
            self._baseline.learn_late(
                time,
                self._learned * self._trend.ring.seconds,
                weight=weight / UNIT,
                negative=negative,
            )
        minute = time // _MINUTE
        if minute >= self._minutes.first:
            self._minutes.add(minute, _EVENTS, 1)
            if negative:
                self._minutes.add(minute, _NEGATIVES, 1)
                self._minutes.add(minute, _WEIGHTS, weight)
        if negative:
            self._proof.add(observation, time, story)
            self._test({time, self._now})

    # What comes out

    @property
    def clock(self) -> datetime | None:
        """The newest time seen; None before the first event."""
        return None if self._clock is None else datetime.fromtimestamp(self._clock, UTC)

    @property
    def active(self) -> bool:
        """Whether something would happen if time passed: an alert is not over, or a row not told for good."""
        return self._cycle.active or self._trend.waiting

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
        return self._trend.take(self._clock, self._expect, closed_only=closed_only)

    def dump(self) -> bytes:
        """The state as compact JSON."""
        if self._clock is None:
            return to_json({"v": FORMAT})
        numbers = [self._clock, self._since, self._newest, self._learned, self._filled, *self._blocks]
        return to_json(
            {
                "v": FORMAT,
                "times": pack_integers(numbers),
                "sources": pack_integers(self._sources.dump()),
                "minutes": pack_integers(self._minutes.dump()),
                "trend": pack_integers(self._trend.ring.dump()),
                "baseline": self._baseline.dump(),
                "dispersion": self._dispersion.dump(),
                "novelty": self._novelty.dump(),
                "ids": pack_bytes(b"".join(self._ids)),
                "proof": self._proof.dump(),
                "alert": self._cycle.dump(),
                "bundle": self._bundle,
            }
        )

    @classmethod
    def load(cls, name: str, state: bytes, settings: SpikeSettings) -> "Subject":
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
        if state["v"] != FORMAT:
            raise StateError(f"the state of {self.name} has format {state['v']}, this version reads {FORMAT}")
        if "times" not in state:
            return
        numbers = unpack_integers(state["times"])
        self._clock, self._since, self._newest, self._learned, self._filled = numbers[:5]
        self._blocks = numbers[5:]
        self._sources.load(unpack_integers(state["sources"]))
        self._minutes.load(unpack_integers(state["minutes"]))
        self._trend.load(unpack_integers(state["trend"]))
        self._baseline.load(state["baseline"])
        self._dispersion.load(state["dispersion"])
        self._baseline.set_dispersion(self._dispersion.near(HOUR))
        self._novelty.load(state["novelty"])
        ids = unpack_bytes(state["ids"])
        self._ids.extend(ids[i : i + _ID_BYTES] for i in range(0, len(ids), _ID_BYTES))
        self._proof.load(state["proof"])
        self._cycle.load(state["alert"])
        self._bundle = state["bundle"]

    # Time

    @property
    def _now(self) -> int:
        return self._clock or 0

    def _begin(self, time: int) -> None:
        self._clock = self._since = self._newest = time
        self._minutes.slide(time // _MINUTE)
        self._trend.slide(time, self._expect)
        self._learned = self._filled = time // self._trend.ring.seconds
        # The block that has begun is not whole.
        self._blocks = [time // window + 1 for window in self._windows]

    def _move(self, time: int) -> None:
        before = self._now
        if time <= before:
            return
        if time // _MINUTE > before // _MINUTE:
            for window in range(len(self._windows)):
                self._learn_blocks(window, time)
            self._learn_intervals(time)
            self._minutes.slide(time // _MINUTE)
            self._trend.slide(time, self._expect)
        self._clock = time
        if self._cycle.active and time // _MINUTE > before // _MINUTE:
            self._settle()
        if not self._cycle.active:
            self._proof.fade(time, max(HOUR, self._longest // 2))

    def _settle(self) -> None:
        """Keep the alert while some window is still near its level, else let it run out."""
        if self._findings(self._now):
            self._cycle.stay(self._now)
        elif self._cycle.pass_time(self._now):
            self._publish()

    # Learning

    def _learn_intervals(self, time: int) -> None:
        """Learn the intervals that the longest window leaves behind when the clock goes to `time`."""
        ring, seconds = self._trend.ring, self._trend.ring.seconds
        until = (time - self._longest) // seconds
        for bucket in range(self._learned, min(until, ring.last + 1)):
            self._learn_interval(bucket, ring, seconds)
            self._learned = bucket + 1
        if self._learned < until:
            start = self._learned * seconds
            gap = (until - self._learned) * seconds
            silent = (self._learned - self._filled) * seconds
            believed = int(self._baseline.believed_silence) - silent
            if believed > 0:
                self._baseline.learn_silence(start, min(gap, believed))
            self._baseline.age(gap)
            self._learned = until

    def _learn_interval(self, bucket: int, ring: Ring, seconds: int) -> None:
        counts = ring.get(bucket)
        total = float(sum(counts[:WEIGHT]))
        start = bucket * seconds
        self._baseline.age(seconds)
        if total:
            self._filled = bucket
        elif (bucket - self._filled) * seconds > self._baseline.believed_silence:
            return
        weight, negative = counts[WEIGHT] / UNIT, float(counts[NEGATIVE])
        if weight and self._cycle.covers(start, start + seconds):
            forecast = self._baseline.forecast(start, start + seconds)
            cap = self._cap(forecast, self._dispersion.near(seconds))
            share = min(1.0, cap / weight)
            weight, negative, total = weight * share, negative * share, total * share
        watched = min(seconds, start + seconds - self._since)
        self._baseline.learn(start, watched, weight=weight, negative=negative, total=total)

    @staticmethod
    def _cap(forecast: Forecast, dispersion: float) -> float:
        """The most that a count during an alert may teach: a long spike must not become the norm."""
        return forecast.mean + 2 * spread(forecast.mean, forecast.uncertainty, dispersion) + 1

    def _learn_blocks(self, window: int, time: int) -> None:
        """Learn how much the counts of the blocks that are over at `time` vary."""
        seconds = self._windows[window]
        ring, column = self._ring(seconds)
        # Late events still belong to a block, as long as the ring holds all of it.
        delay = min(self._settings.lateness_seconds, (BUCKETS - 1) * ring.seconds - seconds)
        until = (time - delay) // seconds
        block = self._blocks[window]
        if block >= until:
            return
        believed = self._baseline.believed_silence
        while block < until and block * seconds < (ring.last + 1) * ring.seconds:
            start = block * seconds
            if start - self._newest <= believed:
                first, last = start // ring.seconds, (start + seconds - 1) // ring.seconds
                weight = ring.total(column, first, last) / UNIT
                forecast = self._forecast(start, start + seconds, weight, 0, 0)
                if forecast.history_hours >= _YOUNG_HOURS:
                    if self._cycle.covers(start, start + seconds):
                        weight = min(weight, self._cap(forecast, self._dispersion[window]))
                    self._dispersion.learn(window, weight, forecast.mean)
            block += 1
        if block < until:
            forecast = self._baseline.forecast(block * seconds, (block + 1) * seconds)
            silent = int(believed - (block * seconds - self._newest)) // seconds
            if silent > 0 and forecast.history_hours >= _YOUNG_HOURS:
                self._dispersion.learn_silence(window, forecast.mean, min(silent, until - block))
        self._blocks[window] = until
        self._baseline.set_dispersion(self._dispersion.near(HOUR))

    # Testing

    def _ring(self, seconds: int) -> tuple[Ring, int]:
        """The ring that a window of that length is counted in, and its column of weights."""
        if seconds <= MINUTE_WINDOWS_SECONDS:
            return self._minutes, _WEIGHTS
        return self._trend.ring, WEIGHT

    def _forecast(self, start: int, end: int, weight: float, negative: int, total: int) -> Forecast:
        """What history explains between `start` and `end`, where the counts given have come.

        History is what the baseline has learned, and what came after that and before `start`.
        """
        ring = self._trend.ring
        since = max(self._since, self._learned * ring.seconds)
        learned = self._baseline.forecast(start, end)
        if start <= since or (self._cycle.active and learned.history_hours >= _YOUNG_HOURS):
            return learned
        last = (end - 1) // ring.seconds
        sums = [ring.total(column, self._learned, last) for column in range(WEIGHT + 1)]
        recent = Recent(
            start=since,
            end=start,
            weight=max(0.0, sums[WEIGHT] / UNIT - weight),
            negative=max(0, sums[NEGATIVE] - negative),
            total=max(0, sum(sums[:WEIGHT]) - total),
        )
        return self._baseline.forecast(start, end, recent)

    def _expect(self, start: int, end: int) -> float | None:
        """Plain negatives expected in an interval of the trend; None while there is no history."""
        ring = self._trend.ring
        counts = ring.get(start // ring.seconds)
        forecast = self._forecast(start, end, counts[WEIGHT] / UNIT, counts[NEGATIVE], sum(counts[:WEIGHT]))
        return forecast.exact_mean if forecast.history_hours >= _LEAST_HISTORY_HOURS else None

    def _test(self, ends: Iterable[int]) -> None:
        """Test all windows that end at one of `ends`."""
        findings = [finding for end in sorted(ends) for finding in self._findings(end)]
        if self._cycle.see(findings, self._now):
            self._publish()

    def _findings(self, end: int) -> list[Finding]:
        found = (self._find(window, end) for window in range(len(self._windows)))
        return [finding for finding in found if finding is not None]

    def _find(self, window: int, end: int) -> Finding | None:
        """Test one window; None where it is not even near its level."""
        settings, seconds = self._settings, self._windows[window]
        ring, column = self._ring(seconds)
        last = end // ring.seconds
        first = (end - seconds) // ring.seconds + 1
        if first < ring.first:
            return None
        minutes = ring is self._minutes
        negative = ring.total(_NEGATIVES if minutes else NEGATIVE, first, last)
        if negative < settings.minimum_negatives:
            return None
        weight = ring.total(column, first, last) / UNIT
        total = (
            ring.total(_EVENTS, first, last)
            if minutes
            else sum(ring.total(each, first, last) for each in range(WEIGHT))
        )
        start = first * ring.seconds
        forecast = self._forecast(start, end, weight, negative, total)
        least = settings.minimum_ratio
        if weight < least * forecast.mean or forecast.history_hours < max(
            _LEAST_HISTORY_HOURS, 2 * seconds / HOUR
        ):
            return None
        variance = spread(forecast.mean, forecast.uncertainty, self._dispersion[window]) ** 2
        alarms, tail = alarms_per_day(weight, forecast.mean, variance, seconds)
        excess = alarms / self._budget
        if excess > _NEAR or not self._goes_on(ring, column, (first + last + 1) // 2, end):
            return None
        ratio = weight / max(forecast.mean, 1e-9)
        if not (settings.volume_only or self._cycle.firing) and not self._gate(
            forecast, negative, total, ratio
        ):
            return None
        return Finding(
            window=window,
            start=start,
            negative=negative,
            total=total,
            expected=forecast.exact_mean,
            expected_share=forecast.share,
            probability=tail,
            excess=excess,
            ratio=ratio,
        )

    def _goes_on(self, ring: Ring, column: int, middle: int, end: int) -> bool:
        """Whether the newer half of a window is above usual too; if not, its surge is over."""
        weight = ring.total(column, middle, end // ring.seconds) / UNIT
        expected = self._baseline.forecast(middle * ring.seconds, end).mean
        return weight >= self._settings.minimum_ratio * expected

    @staticmethod
    def _gate(forecast: Forecast, negative: int, total: int, ratio: float) -> bool:
        """Whether the share of negatives agrees that this is no burst of sheer volume."""
        rises = share_rises(
            negative,
            total,
            history_negative=forecast.share_negative,
            history_total=forecast.share_total,
        )
        usual = forecast.exact_mean * (1 / forecast.share - 1)
        return rises or others_are_usual(total - negative, usual_others=usual, ratio=ratio)

    def _publish(self) -> None:
        life = self._cycle.life
        if life is None:
            return
        self._proof.forget(self._now - self._longest)
        finding = life.strongest
        seconds = self._windows[finding.window]
        topics = self._proof.topics
        resolved = life.resolved if life.state is AlertState.RESOLVED else None
        self._alerts.append(
            Alert(
                id=self._cycle.id,
                revision=life.revision,
                subject=self.name,
                state=life.state,
                severity=life.severity,
                started_at=_moment(life.started),
                updated_at=_moment(self._now if resolved is None else resolved),
                fired_at=None if life.fired is None else _moment(life.fired),
                resolved_at=None if resolved is None else _moment(resolved),
                window_seconds=seconds,
                negative=finding.negative,
                total=finding.total,
                expected_negative=round(finding.expected, 3),
                expected_share=round(finding.expected_share, 4),
                probability=finding.probability,
                peak_negative=life.peaks[finding.window],
                topics=topics,
                evidence=self._proof.worst,
                reason=reason(finding, seconds, topics),
                bundle=self._bundle,
            )
        )


def _moment(time: int) -> datetime:
    return datetime.fromtimestamp(time, UTC)
