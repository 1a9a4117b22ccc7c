"""The score stage: consumes raw events, judges them in windows, publishes, commits.

What it guarantees, in this order, for every window of events and so for every offset:
    1. each event is judged, or its dead letter written with the reason
    2. scored events, observations and dead letters are sent, in the order of the source offsets
    3. the broker has confirmed all of them
    4. only then are the offsets committed
A crash between 3 and 4 repeats a window; the watch stage knows repeats by their positions.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord
from mode import Service

from stream.engine.engine import Engine
from stream.engine.judgement import JudgementError
from stream.engine.session import Provider
from stream.kafka import BrokerError, StallError, new_producer
from stream.metrics import ScoreMetrics
from stream.records import DeadLetter, DeadLetterReason, Observation, Position, ScoredEvent
from stream.review.sampling import sample
from stream.score.clock import StreamClock, newest, recorded_time
from stream.score.compose import Accepted, accept, compose, gather
from stream.score.decode import Decoded, Rejection
from stream.score.publish import Outgoing, Publisher, base64_of
from stream.score.source import Source, Taken
from stream.settings import Settings
from stream.watchlist import Watchlist

SETTLE_SECONDS = 30.0
"""How long a rebalance waits for the windows in flight; what is not through by then is repeated."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A window of events after judgement: what to publish, and what to commit afterwards."""

    outgoing: Outgoing
    reached: Mapping[int, tuple[int, str]]
    """Per source partition, the offset to go on from, and its clock then."""
    recorded_at: Sequence[float]
    """Unix seconds of each scored event's raw record, for the latency."""
    time: datetime | None
    """The stream's time once all of this is published."""


class ScoreStage(Service):
    """A service that owns the source, a producer and the engine's thread."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        watchlist: Watchlist,
        metrics: ScoreMetrics,
        *,
        observed_partitions: int,
    ) -> None:
        super().__init__()
        self._observed_partitions = observed_partitions
        self._settings = settings
        self._engine = engine
        self._watchlist = watchlist
        self._metrics = metrics
        self._source = Source(settings, metrics, before_move=self._settle, after_move=self._go_on)
        self._stream_clock = StreamClock()
        self._in_flight = 0
        self._settled = asyncio.Condition()
        self._may_fetch = asyncio.Event()
        self._moved_at = time.monotonic()
        self._assigned = False
        self._begun = False
        self._ended = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether the stage has joined its group."""
        return self._assigned

    @property
    def provider(self) -> Provider:
        """The device that the engine really has."""
        return self._engine.provider

    def judge_by(self, engine: Engine) -> None:
        """Judge by another engine, which is loaded, from the next window on; close the one before."""
        before, self._engine = self._engine, engine
        # It waits for the window that is being judged, or that its thread has yet to begin with.
        closing = asyncio.create_task(asyncio.to_thread(before.close, drop_queued=False))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def on_start(self) -> None:
        """Connect; the group is joined in the background."""
        kafka = self._settings.kafka
        self._producer = new_producer(kafka)
        self._publisher = Publisher(self._producer, self._settings.topics, idempotent=kafka.idempotence)
        try:
            await self._producer.start()
            await self._source.start()
        except KafkaError as error:
            raise BrokerError(f"cannot work with Kafka at {kafka.brokers}: {error!r}") from error

    async def on_stop(self) -> None:
        """Finish what is in flight and leave the group, so that others take over at once."""
        self._may_fetch.set()  # lets the loop see that it is to end
        if self._begun:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), SETTLE_SECONDS)
        await self._source.stop()
        await self._producer.stop()
        await asyncio.to_thread(self._engine.close)

    @Service.task
    async def _run(self) -> None:
        publication: asyncio.Task[None] | None = None
        self._begun = True
        try:
            while not self.should_stop:
                await self._may_fetch.wait()
                taken = await self._source.take()
                if publication is not None and (publication.done() or not taken):
                    await publication
                    publication = None
                if not taken:
                    continue
                self._in_flight += 1
                judged = await self._judge(taken)
                # One window is published while the next is judged, but never two at once.
                if publication is not None:
                    await publication
                publication = asyncio.create_task(self._finish(judged))
            if publication is not None:
                await publication
        finally:
            self._ended.set()

    @Service.task
    async def _tick(self) -> None:
        """Tell the watch stage how late it is in the stream, also while no event arrives."""
        while not self.should_stop:
            await self.sleep(self._settings.watch.tick_seconds)
            now = self._stream_clock.now(time.monotonic())
            if now is not None and self._may_fetch.is_set():
                await self._publisher.tick(now, self._observed_partitions)

    @Service.task
    async def _watch_progress(self) -> None:
        limit = self._settings.score.stall_seconds
        steps = 0
        while not self.should_stop:
            await self.sleep(min(limit / 4, 2.0))
            if self._source.failure is not None:
                raise self._source.failure
            trouble = await self._trouble()
            if trouble is None and self._stream_clock.behind and self._source.reads_all:
                self._catch_up()
            # A large window may take the model longer than that.
            if trouble is None or self._engine.steps != steps:
                self._moved_at, steps = time.monotonic(), self._engine.steps
            elif time.monotonic() - self._moved_at > limit:
                raise StallError(f"{trouble} for {limit:.0f} s")

    def _catch_up(self) -> None:
        """Alerts end when they would have ended without a restart or a standstill, since no event waits.

        Where others read of the topic too, theirs may: better an alert ends late than before they are counted.
        """
        wall = datetime.now(UTC)
        now = newest(clock.now(wall) for clock in self._source.clocks.values())
        self._stream_clock.catch_up(now, time.monotonic())

    async def _trouble(self) -> str | None:
        """What there would be to complain of, should it last: events to score, a group to join, a broker away."""
        score = self._settings.score
        if not self._may_fetch.is_set():
            return (
                f"the group {score.group} gave this worker no partition of {self._settings.topics.raw}; may it"
                " read as that group, and does the broker allow `kafka.session_timeout_seconds`? Nothing moved"
            )
        try:
            lags = await self._source.lags(in_flight=self._in_flight > 0)
        except KafkaError as error:
            return f"the broker has not answered ({error!r})"
        self._metrics.lag_is(lags)
        return (
            f"events wait in {self._settings.topics.raw}, and none was scored" if any(lags.values()) else None
        )

    async def _judge(self, taken: Sequence[Taken]) -> Judged:
        """Judge a window of events, and compose what is to be published."""
        started = time.perf_counter()
        self._metrics.events_read(len(taken))
        dead: list[DeadLetter] = []
        accepted: list[tuple[ConsumerRecord, Accepted]] = []
        for one in taken:
            if isinstance(one.content, Rejection):
                dead.append(self._dead_letter(one.record, one.content))
            else:
                accepted.append((one.record, self._accept(one.record, one.content)))
        # The clocks of now: while the model runs they wait for no other window, but a rebalance may reset them.
        last = {one.record.partition: one.record.offset for one in taken}
        reached = {number: (at + 1, self._source.clock(number).dump()) for number, at in last.items()}
        moment = self._newest()
        placed = time.perf_counter()
        engine = self._engine
        judgements = await engine.judge_async([entry.question for _, entry in accepted])
        self._metrics.step_took("judge", time.perf_counter() - placed)
        self._metrics.step_took("decode", placed - started)
        scored, observations, recorded_at = [], list[tuple[str, Observation]](), []
        now = datetime.now(UTC)
        bundle = engine.bundle.hash
        for (record, entry), judgement in zip(accepted, judgements, strict=True):
            if isinstance(judgement, JudgementError):
                dead.append(
                    self._dead_letter(record, Rejection(DeadLetterReason.MODEL_FAILED, str(judgement)))
                )
                continue
            event, seen = compose(entry, judgement, bundle=bundle, scored_at=now)
            scored.append(event)
            observations.extend(seen)
            recorded_at.append(record.timestamp / 1000)
        return Judged(Outgoing(scored, gather(observations, bundle), dead), reached, recorded_at, moment)

    def _accept(self, record: ConsumerRecord, content: Decoded) -> Accepted:
        clock = self._source.clock(record.partition)
        wall = datetime.now(UTC)
        moment, in_future = clock.place(content.event.time, recorded_time(record.timestamp, wall), wall)
        if in_future:
            self._metrics.event_in_future()
        return accept(content.event, content.text, self._position(record), moment, self._watchlist)

    def _position(self, record: ConsumerRecord) -> Position:
        return Position(topic=self._settings.topics.source, partition=record.partition, offset=record.offset)

    def _dead_letter(self, record: ConsumerRecord, rejection: Rejection) -> DeadLetter:
        position, now = self._position(record), datetime.now(UTC)
        self.log.warning("dead letter: %s at %s: %s", rejection.reason.value, position, rejection.detail)
        return DeadLetter(
            reason=rejection.reason,
            detail=rejection.detail[:1_000],
            position=position,
            recorded_at=recorded_time(record.timestamp, now),
            failed_at=now,
            key_base64=base64_of(record.key),
            value_base64=base64_of(record.value),
            value_bytes=len(record.value or b""),
        )

    async def _finish(self, judged: Judged) -> None:
        """Publish a window, wait for the broker's word, commit."""
        started = time.perf_counter()
        await self._publisher.publish(judged.outgoing)
        confirmed_at = time.time()
        self._stream_clock.published(judged.time, time.monotonic())
        await self._source.commit(judged.reached)
        self._metrics.step_took("publish", time.perf_counter() - started)
        for event, recorded in zip(judged.outgoing.scored, judged.recorded_at, strict=True):
            self._metrics.event_scored(event.language, event.sentiment, confirmed_at - recorded)
        for letter in judged.outgoing.dead_letters:
            self._metrics.dead_letter(letter.reason)
        self._moved_at = time.monotonic()
        await self._put_aside(judged.outgoing.scored)
        async with self._settled:
            self._in_flight -= 1
            self._settled.notify_all()

    async def _put_aside(self, scored: Sequence[ScoredEvent]) -> None:
        items = [item for event in scored if (item := sample(event, self._settings.review)) is not None]
        if items and await self._publisher.put_aside(items):
            for item in items:
                self._metrics.put_aside(item.reason)

    def _newest(self) -> datetime | None:
        return newest(clock.reached for clock in self._source.clocks.values())

    async def _settle(self) -> None:
        """Finish the windows in flight before partitions move, so that little is repeated."""
        self._may_fetch.clear()
        try:
            async with asyncio.timeout(SETTLE_SECONDS), self._settled:
                await self._settled.wait_for(lambda: self._in_flight == 0)
        except TimeoutError:
            self.log.warning("a rebalance did not wait for events in flight; they may be repeated")

    def _go_on(self) -> None:
        """Take windows again, now that each partition's beginning is known."""
        self._stream_clock.published(self._newest(), time.monotonic())
        self._stream_clock.behind = True
        self._assigned = True
        self._moved_at = time.monotonic()
        self._may_fetch.set()
