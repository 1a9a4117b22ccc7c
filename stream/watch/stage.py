"""The watch stage: a Faust agent over `sentiment.observed`, whose subjects' states live in `sentiment.states`.

What it guarantees, in this order, for every record, and for those of a partition that wait together:
    1. the record is its partition's next; where one is missing, the reader goes back to it
    2. the subject counts each observation once, by its source position
    3. alerts and rows of the trend are sent, and confirmed by the broker
    4. the state that remembers them, and after it the cursor behind the record, are sent to the states' log,
       and confirmed by the broker
A crash before 4 repeats 2 and 3 with the same ids and revisions. A new owner of the partition claims its log
and goes on from the cursor there; what an earlier owner still writes counts no more, and where it has written
over states, they are written again. The offsets that Faust commits decide nothing: a record that arrives while
Faust resumes after a rebalance is dropped, and may be committed over.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.types import TP, AgentT, EventT, Message
from mode import Service
from pydantic import ValidationError

from stream.explanation.evidence import EvidenceExplainer
from stream.kafka import FencedError, StallError, new_producer
from stream.metrics import WatchMetrics
from stream.records import Observations, Tick
from stream.rules import Rules
from stream.settings import Settings
from stream.watch.app import answer_seconds, faust_app
from stream.watch.batch import Batch
from stream.watch.cursor import Cursor, Step
from stream.watch.freeze import FreezeDetector
from stream.watch.log import StateLog, TakenOverError
from stream.watch.ownership import Owned, Ownership
from stream.watch.tally import count_up, show_firing

NUDGE_SECONDS = 5.0
"""After so long without progress the reader is sent to the cursor, where records wait."""
EXPLAIN_SECONDS = 2.0
"""For the alerts of records that are handled at once words are looked for so long; the rest go without."""
HURRIED_EXPLAIN_SECONDS = 0.2
"""For so long while more records wait than a batch takes: alerts of theirs would come late for others' words."""
BATCH_RECORDS = 128
"""So many records that wait are handled at once, and those of a partition saved together."""
BATCH_OBSERVATIONS = 1000
"""But no more, once they hold so many observations: a second's work, for which a rebalance can wait."""
SETTLE_SECONDS = 30.0
"""How long a rebalance waits for the record in hand; it must not be saved once others own its partition."""


class WatchStage(Service):
    """Owns the Faust app, the partitions' subjects, and a producer for alerts, the trend and the states."""

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        metrics: WatchMetrics,
        explainer: EvidenceExplainer | None,
        *,
        fail: Callable[[Exception], None],
    ) -> None:
        """`explainer` is loaded, and closed at the stage's end; `fail` ends the worker with an error."""
        super().__init__()
        self._settings = settings
        self._rules = rules
        self._metrics = metrics
        self._explainer = explainer
        self._fail = fail
        self._assigned: frozenset[TP] | None = None
        self._in_hand = asyncio.Lock()
        self._waiting = asyncio.Queue[EventT[bytes]](BATCH_RECORDS)
        self._closing: asyncio.Task[None] | None = None
        self._moved_at = time.monotonic()
        self._freeze = FreezeDetector(0.5 * settings.kafka.session_timeout_seconds)
        self.app = faust_app(settings)
        observed = self.app.topic(settings.topics.observed, key_type=bytes, value_type=bytes)
        agent = self.app.agent(observed, name="watch")(self._watch)
        # What fails before the agent's body, Faust would restart over and over; it takes no other handler.
        agent._on_error = self._agent_failed  # type: ignore[attr-defined]  # noqa: SLF001
        self.app.on_partitions_revoked.connect(self._leave)
        self.app.on_partitions_assigned.connect(self._join)

    @property
    def ready(self) -> bool:
        """Whether the stage has joined its group, and partitions do not move."""
        return self._assigned is not None and not self.app.rebalancing

    def explain_by(self, explainer: EvidenceExplainer | None) -> None:
        """Let another explainer, which is loaded, name the words from now on, or none; close the one before."""
        before, self._explainer = self._explainer, explainer
        if before is not None:
            self._closing = asyncio.create_task(self._close(before))

    async def _close(self, explainer: EvidenceExplainer) -> None:
        async with self._in_hand:
            pass  # the record that may still ask it
        await asyncio.to_thread(explainer.close)

    async def on_start(self) -> None:
        """Connect, then start Faust."""
        self._producer = new_producer(self._settings.kafka)
        self._log = StateLog(
            self._settings.kafka,
            self._settings.topics.states,
            self._producer,
            forget_after_days=self._settings.watch.forget_after_days,
        )
        self._owned = self._ownership(self._log)
        await self._producer.start()
        await self._log.start()
        self._freeze.start()
        self.app.finalize()
        await self.app.start()

    def _ownership(self, log: StateLog) -> Ownership:
        settings = self._settings
        # Who is no member any more hears it at a heartbeat, which a broker that is gone never answers.
        heard = settings.kafka.session_timeout_seconds + answer_seconds(settings.kafka)
        return Ownership(log, settings.spikes, self._rules, rest_seconds=heard)

    async def on_stop(self) -> None:
        """Save the record in hand; then let Faust commit and leave its group."""
        await self._leave()
        await self.app.stop()
        await self._log.stop()
        await self._producer.stop()
        self._freeze.stop()
        if self._explainer is not None:
            await asyncio.to_thread(self._explainer.close)

    @property
    def _glance_seconds(self) -> float:
        return min(self._settings.watch.stall_seconds / 4, 2.0)

    @Service.task
    async def _look_for_work(self) -> None:
        """Show which alerts fire, and look after partitions of which no record comes.

        To have nothing to do is progress.
        """
        while not self.should_stop:
            await self.sleep(self._glance_seconds)
            # Not with each record: in a backlog there are thousands a second, and all alerts to look at.
            show_firing(self._metrics, [one for owned in self._owned for one in owned.subjects.firing()])
            if not await self._waits():
                self._moved_at = time.monotonic()

    @Service.task
    async def _watch_progress(self) -> None:
        """End the process where nothing moves. It waits for nothing itself: a record in hand may hang."""
        limit = self._settings.watch.stall_seconds
        while not self.should_stop:
            await self.sleep(self._glance_seconds)
            try:
                self._freeze.check()
            except FencedError as error:
                self._fail(error)
            if time.monotonic() - self._moved_at > limit:
                topic = self._settings.topics.observed
                raise StallError(f"records wait in {topic}, and none was handled for {limit:.0f} s")

    async def _waits(self) -> bool:
        """Whether there is anything to do: records to handle, or partitions or a broker to come back."""
        assigned = self._assigned
        if assigned is None or not self.ready:
            return True
        if self._owned.rests:
            return False
        try:
            for place in sorted(assigned):
                await self._own(place)
            lags = await self._lags(assigned)
        except KafkaError:
            return True
        self._metrics.lag_is(lags)
        return any(lags.values())

    async def _own(self, place: TP) -> None:
        """Read a partition's log, though no record of it has come; go back to one that was dropped."""
        async with self._in_hand:
            if self._assigned is None or place not in self._assigned or not self.ready:
                return
            owned = await self._owned_or_lost(place.partition)
            if owned is None or time.monotonic() - owned.moved_at < NUDGE_SECONDS:
                return
            owned.moved_at = time.monotonic()
            if (await self._log.ends(place.topic, [place.partition]))[
                place.partition
            ] > owned.cursor.following:
                await self.app.consumer.seek_wait({place: owned.cursor.following})

    async def _lags(self, assigned: Iterable[TP]) -> dict[int, int]:
        """Records that wait, per partition."""
        numbers = sorted(place.partition for place in assigned)
        topic = self._settings.topics.observed
        ends, beginnings = await self._log.ends(topic, numbers), await self._log.beginnings(topic, numbers)
        lags = {}
        for number in numbers:
            owned = self._owned.get(number)
            done = max(owned.cursor.following if owned else 0, beginnings[number])
            lags[number] = max(ends[number] - done, 0)
        return lags

    async def _watch(self, stream: faust.StreamT[bytes]) -> None:
        """The agent. Its body never raises: Faust would skip the record and commit it."""
        # Else Faust would take a record for done as soon as the next one is asked for.
        stream.enable_acks = False
        async for event in stream.events():
            await self._waiting.put(event)

    @Service.task
    async def _handle_waiting(self) -> None:
        try:
            while not self.should_stop:
                await self._handle_batch()
        except asyncio.CancelledError:
            if self.should_stop:
                raise
            # A client may let one of its own escape, and nobody would hear that nothing is handled any more.
            self._fail(RuntimeError("what handles the records was cancelled"))
        except Exception as error:  # noqa: BLE001  # anything unexpected ends the process
            self._fail(error)

    async def _handle_batch(self) -> None:
        """Handle what waits, a partition after the other."""
        events = [await self._waiting.get()]
        while not self._waiting.empty() and len(events) < BATCH_RECORDS:
            events.append(self._waiting.get_nowait())
        hurried = len(events) == BATCH_RECORDS
        for place in dict.fromkeys(event.message.tp for event in events):
            async with self._in_hand:
                if self._assigned is None or place not in self._assigned:
                    continue
                those = [event for event in events if event.message.tp == place]
                await self._take(place, [event.message for event in those], hurried=hurried)
                # What was not handled, too, or Faust would keep all that follows for a commit: the cursor decides.
                for event in those:
                    event.ack()

    async def _take(self, place: TP, messages: Sequence[Message], *, hurried: bool) -> None:
        """Handle records of a partition, but those whose turn has not come: they are read again."""
        waiting = deque(messages)
        while waiting and self._assigned is not None:
            try:
                owned = await self._owned_or_lost(place.partition)
                if owned is None:
                    return
                if not await self._is_next(waiting[0], owned.cursor):
                    waiting.popleft()
                    continue
            except (KafkaError, TimeoutError) as error:
                # Nothing was done of these; once the broker is back, the reader is sent to the cursor.
                self.log.warning("partition %d waits for the broker: %s", place.partition, error)
                return
            batch = Batch(owned)
            while (
                waiting
                and waiting[0].offset <= owned.cursor.following
                and batch.observations < BATCH_OBSERVATIONS
            ):
                message = waiting.popleft()
                batch.apply(message.offset, self._read(message), message.timestamp, now=time.monotonic())
                # Heartbeats and probes must not wait for all of it.
                await asyncio.sleep(0)
            try:
                await self._settle(batch, owned, hurried=hurried)
            except TakenOverError as error:
                self._lose(error)
                self._moved_at = time.monotonic()

    async def _owned_or_lost(self, number: int) -> Owned | None:
        try:
            return await self._owned.take(number, self._abandoned)
        except TakenOverError as error:
            self._lose(error)
            return None

    def _lose(self, error: TakenOverError) -> None:
        self._owned.lose(error)
        self._metrics.partitions_moved()

    def _abandoned(self) -> bool:
        self._moved_at = time.monotonic()
        return self._assigned is None

    async def _is_next(self, message: Message, cursor: Cursor) -> bool:
        """Whether no record from the cursor to this one is missing; else go back to the first of them."""
        if cursor.meet(message.offset, time.monotonic()) is Step.GO_BACK:
            beginning = (await self.app.consumer.earliest_offsets(message.tp))[message.tp]
            if cursor.following < beginning:
                self._skip_expired(cursor, message.partition, beginning)
            if message.offset > cursor.following:
                self.log.info(
                    "partition %d: back from offset %d to %d, which was not handled",
                    message.partition,
                    message.offset,
                    cursor.following,
                )
                await self.app.consumer.seek_wait({message.tp: cursor.following})
        return message.offset <= cursor.following

    def _skip_expired(self, cursor: Cursor, number: int, beginning: int) -> None:
        # A log that was never read has no records to miss.
        if cursor.following:
            lost = beginning - cursor.following
            self.log.error("%d records of partition %d were deleted unread", lost, number)
            self._metrics.records_expired(lost)
        cursor.pass_over(beginning - 1)

    async def _settle(self, batch: Batch, owned: Owned, *, hurried: bool) -> None:
        """Send what became of a batch, then save it: states never remember what was not told."""
        await self._publish(batch, hurried=hurried)
        if batch.due:
            owned.next_save = time.monotonic() + self._settings.watch.tick_seconds
            self._freeze.check()
            await self._owned.save(owned, batch.states)
        self._moved_at = owned.moved_at = time.monotonic()
        for part in batch.parts:
            count_up(self._metrics, part)
        self._metrics.owns(sum(len(one.subjects) for one in self._owned))

    def _read(self, message: Message) -> Observations | Tick | None:
        value = message.value or b""
        try:
            if value.startswith(b'{"tick"'):
                return Tick.model_validate_json(value)
            return Observations.model_validate_json(value)
        except ValidationError as error:
            # Only Downtick writes this topic, so this is somebody else's record, and no event is lost.
            self._metrics.unreadable()
            self.log.error(
                "cannot read offset %d of %s/%d: %s",
                message.offset,
                self._settings.topics.observed,
                message.partition,
                error.errors(include_url=False)[0]["msg"],
            )
            return None

    async def _publish(self, batch: Batch, *, hurried: bool) -> None:
        """Send all alerts and the newest rows, and return once the broker has confirmed them."""
        topics = self._settings.topics
        until = time.monotonic() + (HURRIED_EXPLAIN_SECONDS if hurried else EXPLAIN_SECONDS)
        records: list[tuple[str, bytes, bytes]] = []
        for alert, newest in batch.alerts:
            told = alert
            if self._explainer is not None and newest:
                told = await self._explainer.explained(alert, until=until)
            records.append((topics.alerts, told.to_bytes(), alert.subject.encode()))
        rows = batch.rows
        records += [(topics.windows, window.to_bytes(), key.encode()) for key, window in rows.items()]
        confirmations = []
        for record in records:
            # Who was frozen may have been replaced, and shall not tell what is old: what then waits in the
            # producer is told when it goes on. So all is made ready first, and sent at once.
            self._freeze.check()
            confirmations.append(await self._producer.send(*record))
        await asyncio.gather(*confirmations)
        self._metrics.windows_published(len(rows))

    async def _agent_failed(self, agent: AgentT[Any], error: BaseException) -> None:  # noqa: ARG002
        self._fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    async def _leave(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002  # Faust's signal
        """Before partitions move: save the record in hand, take no other."""
        self._assigned = None
        try:
            async with asyncio.timeout(SETTLE_SECONDS), self._in_hand:
                self._owned.clear()
                # Should these partitions come back, what waits may be from before the cursor by then. The event
                # that the agent may have in its hand stays: it would be a repeat, or behind a gap.
                while not self._waiting.empty():
                    self._waiting.get_nowait()
        except TimeoutError:
            self._fail(FencedError(f"a record in hand was not confirmed within {SETTLE_SECONDS:.0f} s"))
        self._metrics.partitions_moved()

    async def _join(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002  # Faust's signal
        """Take records of these partitions; what is known of them is in their logs."""
        _, assigned = args
        self._assigned = frozenset(assigned)
        self._moved_at = time.monotonic()
