"""A watch stage at work on a partition: its broker, its reader and its metrics, for the tests of the stage."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from aiokafka.errors import KafkaConnectionError
from faust.types import TP
from prometheus_client import CollectorRegistry
from spike_streams import recorded

from stream.labels import Sentiment
from stream.metrics import WatchMetrics
from stream.records import Alert, Observations, Tick
from stream.rules import Rule, Rules
from stream.settings import Settings, WatchSettings
from stream.watch.log import TakenOverError
from stream.watch.ownership import Owned
from stream.watch.stage import WatchStage

# Less than a user may set, since tests wait for it.
SETTINGS = Settings(watch=WatchSettings().model_copy(update={"stall_seconds": 1}))
PLACE = TP(SETTINGS.topics.observed, 0)
ELSEWHERE = TP(PLACE.topic, PLACE.partition + 1)
SUBJECT = "entity:X"
MIDNIGHT = datetime(2026, 3, 4, tzinfo=UTC)


class FakeLog:
    """A log of one partition, behind which so many records wait."""

    def __init__(self, waiting: int) -> None:
        self._waiting = waiting

    async def take_over(self, _partition: int, abandoned: Any) -> dict[bytes, bytes]:
        assert not abandoned()
        return {}

    async def ends(self, _topic: str, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, self._waiting)

    async def beginnings(self, _topic: str, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 0)


class LogOutOfReach:
    """A log whose broker is gone."""

    async def take_over(self, _partition: int, _abandoned: Any) -> dict[bytes, bytes]:
        raise KafkaConnectionError


class FakeConsumer:
    """A reader that goes wherever it is sent, in a partition that begins at some offset."""

    def __init__(self, beginning: int = 0) -> None:
        self.sent_to: list[int] = []
        self._beginning = beginning

    async def seek_wait(self, places: dict[TP, int]) -> None:
        self.sent_to += places.values()

    async def earliest_offsets(self, *places: TP) -> dict[TP, int]:
        return dict.fromkeys(places, self._beginning)


class ConsumerOutOfReach(FakeConsumer):
    """A reader whose broker is gone."""

    async def earliest_offsets(self, *_places: TP) -> dict[TP, int]:
        raise KafkaConnectionError


class Broker:
    """A producer and a log in one; it confirms what is sent a moment later, and remembers what came when."""

    def __init__(self, rows: dict[bytes, bytes] | None = None, *, moment: float = 0.05) -> None:
        self.events: list[tuple[str, str]] = []
        self.alerts: list[Alert] = []
        self.rows = rows or {}
        self._moment = moment

    async def send(self, topic: str, value: bytes, _key: bytes) -> asyncio.Future[None]:
        self.events.append(("sent", topic))
        if topic == SETTINGS.topics.alerts:
            self.alerts.append(Alert.model_validate_json(value))
        loop = asyncio.get_running_loop()
        confirmation = loop.create_future()

        def confirm() -> None:
            self.events.append(("confirmed", topic))
            confirmation.set_result(None)

        loop.call_later(self._moment, confirm)
        return confirmation

    async def take_over(self, _partition: int, _abandoned: Any) -> dict[bytes, bytes]:
        return dict(self.rows)

    async def write(self, _partition: int, rows: Sequence[tuple[bytes, bytes]]) -> set[bytes]:
        self.events.append(("saved", SETTINGS.topics.states))
        self.rows.update(rows)
        return set()


class TakenOver(Broker):
    """Another worker has claimed the partition."""

    async def write(self, _partition: int, _rows: Sequence[tuple[bytes, bytes]]) -> set[bytes]:
        raise TakenOverError("another worker has taken over")


class Moving(Broker):
    """Its partitions begin to move with the first save."""

    stage: WatchStage

    async def write(self, partition: int, rows: Sequence[tuple[bytes, bytes]]) -> set[bytes]:
        self.stage._assigned = None
        return await super().write(partition, rows)


class Failing(Broker):
    """A producer that fails."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    async def send(self, _topic: str, _value: bytes, _key: bytes) -> asyncio.Future[None]:
        raise self._error


class FakeStream:
    """Gives events as Faust does: unless told otherwise, the next is asked for once the last one is done."""

    def __init__(self, told: list[tuple[str, str]], messages: Sequence[Any]) -> None:
        self.enable_acks = True
        self._told, self._messages = told, messages

    async def events(self) -> AsyncIterator[Any]:
        for message in self._messages:
            name = f"{message.partition}/{message.offset}"
            ack = partial(self._told.append, ("acknowledged", name))
            yield SimpleNamespace(message=message, ack=ack)
            if self.enable_acks:
                ack()
        await asyncio.Event().wait()


def stage_on(
    log: object, rules: Rules | None = None, registry: CollectorRegistry | None = None
) -> WatchStage:
    """A stage that reads one partition, whose states are in this log."""

    def fail(error: Exception) -> None:
        raise error

    metrics = WatchMetrics(registry or CollectorRegistry(), [SUBJECT])
    stage = WatchStage(SETTINGS, rules or Rules(), metrics, None, fail=fail)
    stage._log = stage._producer = cast("Any", log)
    stage.app.consumer = cast("Any", FakeConsumer())
    stage._owned = stage._ownership(stage._log)
    stage._assigned = frozenset([PLACE])
    return stage


class Scene:
    """A stage at work on a partition, its broker and its metrics."""

    def __init__(self, *rules: Rule, broker: Broker | None = None) -> None:
        self.broker = broker or Broker()
        self._registry = CollectorRegistry()
        self._stage = stage_on(self.broker, Rules(rules), self._registry)
        self.handled = 0
        """How many records of the partition, from its first on."""

    async def handle(self, record: Observations | Tick, *, saved: bool | None = None) -> None:
        """Handle the next record.

        `saved` says whether a tick that leaves nothing to tell is saved, without which that hangs on the time.
        """
        owned = await self.owned()
        if saved is not None:
            owned.next_save = 0.0 if saved else math.inf
        await self._stage._take(PLACE, [self._message(record)], hurried=False)

    async def take_together(
        self, *records: Observations | Tick, consumer: FakeConsumer | None = None
    ) -> None:
        """Take the next records at once; where there is a `consumer`, one is missing before the last of them."""
        messages = [self._message(record) for record in records]
        if consumer is not None:
            self._stage.app.consumer = cast("Any", consumer)
            messages[-1].offset += 1
        await self._stage._take(PLACE, messages, hurried=False)

    async def take(self, record: Observations | Tick, consumer: FakeConsumer) -> None:
        """Take the next record, of a partition that is read by this consumer."""
        self._stage.app.consumer = cast("Any", consumer)
        await self._stage._take(PLACE, [self._message(record)], hurried=False)

    def _message(self, record: Observations | Tick, place: TP = PLACE) -> Any:
        self.handled += 1
        return SimpleNamespace(
            tp=place,
            partition=place.partition,
            offset=self.handled - 1 if place == PLACE else 0,
            value=record.to_bytes(),
            timestamp=MIDNIGHT.timestamp(),
        )

    async def read(self, *records: Observations | Tick, elsewhere: Observations | None = None) -> None:
        """Let the agent read these, and go on until all are acknowledged; `elsewhere` is of another partition."""
        messages = [self._message(record) for record in records]
        if elsewhere is not None:
            self._stage._assigned = frozenset([PLACE, ELSEWHERE])
            messages.insert(1, self._message(elsewhere, ELSEWHERE))
        stream: Any = FakeStream(self.broker.events, messages)
        agent = asyncio.create_task(self._stage._watch(stream))
        await asyncio.sleep(0)
        handler = asyncio.create_task(cast("Any", WatchStage._handle_waiting).fun(self._stage))
        async with asyncio.timeout(20):
            while len(self.acknowledged) < len(messages) and not handler.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        self._stage._stopped.set()
        agent.cancel()
        handler.cancel()
        await asyncio.gather(agent, handler, return_exceptions=True)
        if handler.done() and not handler.cancelled():
            handler.result()

    @property
    def acknowledged(self) -> list[str]:
        """The offsets, and of what partition, that Faust may commit."""
        return [what for event, what in self.broker.events if event == "acknowledged"]

    def explain_by(self, explainer: object) -> None:
        """Let this one look for words."""
        self._stage.explain_by(cast("Any", explainer))

    async def wait(self, *records: Observations) -> int:
        """Let these wait while partitions move; how many wait afterwards."""
        for record in records:
            self._stage._waiting.put_nowait(cast("Any", SimpleNamespace(message=self._message(record))))
        await self.rebalance()
        return self._stage._waiting.qsize()

    async def glance(self) -> None:
        """Let the stage look once at what there is to do, and to show."""

        async def sleep(_seconds: float) -> None:
            stage._stopped.set()

        async def waits() -> bool:
            return False

        stage: Any = self._stage
        stage.sleep, stage._waits = sleep, waits
        await cast("Any", WatchStage._look_for_work).fun(stage)
        stage._stopped.clear()

    async def owned(self) -> Owned:
        owned = await self._stage._owned_or_lost(PLACE.partition)
        assert owned is not None
        return owned

    async def rebalance(self) -> None:
        """Give the partition up, and get it again."""
        await self._stage._leave()
        await self._stage._join(None, [PLACE])

    def value(self, metric: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(f"downtick_{metric}", labels)

    @property
    def ratio(self) -> float | None:
        return self.value("subject_surge_ratio", subject=SUBJECT)

    @property
    def firing(self) -> float:
        severities = ("yellow", "orange", "red")
        return sum(self.value("alerts_firing", severity=severity) or 0 for severity in severities)


def observed(subject: str, *events: tuple[datetime, Sentiment], first: int = 0) -> Observations:
    """A record of these events, numbered from `first` on."""
    return recorded(subject, events, first=first)


def surge() -> Observations:
    """Two quiet days, and forty negatives in the last seven minutes before ten to midnight."""
    quiet: list[tuple[datetime, Sentiment]] = [
        (MIDNIGHT - timedelta(hours=48 - number / 2), "neutral") for number in range(95)
    ]
    negatives: list[tuple[datetime, Sentiment]] = [
        (MIDNIGHT - timedelta(minutes=17) + timedelta(seconds=10 * number), "negative")
        for number in range(40)
    ]
    return observed(SUBJECT, *quiet, *negatives)
