"""The watch stage: in which order it publishes and saves, what it counts, and that what hangs ends the process."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP
from prometheus_client import CollectorRegistry

from stream.kafka import StallError
from stream.labels import Sentiment
from stream.metrics import WatchMetrics
from stream.records import Observation, Observations, Position, Tick
from stream.rules import QuietHours, Rule, Rules
from stream.settings import Settings, WatchSettings
from stream.watch.log import TakenOverError
from stream.watch.stage import WatchStage

SETTINGS = Settings(watch=WatchSettings(stall_seconds=5))
PLACE = TP(SETTINGS.topics.observed, 0)
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
    """A reader that goes wherever it is sent."""

    async def seek_wait(self, _places: dict[TP, int]) -> None:
        pass


class Broker:
    """A producer and a log in one; it confirms what is sent a moment later, and remembers what came when."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self._rows: dict[bytes, bytes] = {}

    async def send(self, topic: str, _value: bytes, _key: bytes) -> asyncio.Future[None]:
        self.events.append(("sent", topic))
        loop = asyncio.get_running_loop()
        confirmation = loop.create_future()

        def confirm() -> None:
            self.events.append(("confirmed", topic))
            confirmation.set_result(None)

        loop.call_later(0.05, confirm)
        return confirmation

    async def take_over(self, _partition: int, _abandoned: Any) -> dict[bytes, bytes]:
        return dict(self._rows)

    async def write(self, _partition: int, rows: Sequence[tuple[bytes, bytes]]) -> set[bytes]:
        self.events.append(("saved", SETTINGS.topics.states))
        self._rows.update(rows)
        return set()


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


async def guard(waiting: int, *, hang: bool = False, lost: bool = False) -> None:
    """Let the stage's two tasks go on until one fails, for at most longer than the limit."""
    stage = stage_on(FakeLog(waiting))
    stage._freeze.start()
    if lost:
        stage._owned.lose(TakenOverError("another worker has taken over"))
    if hang:
        await stage._in_hand.acquire()
    tasks = [cast("Any", task).fun(stage) for task in (WatchStage._look_for_work, WatchStage._watch_progress)]
    async with asyncio.timeout(1.6 * SETTINGS.watch.stall_seconds):
        await asyncio.gather(*tasks)


def test_a_record_in_hand_that_is_never_done_is_a_stall() -> None:
    with pytest.raises(StallError, match="none was handled for 5 s"):
        asyncio.run(guard(0, hang=True))


def test_records_that_wait_and_never_come_are_a_stall() -> None:
    with pytest.raises(StallError, match="none was handled for 5 s"):
        asyncio.run(guard(7))


def test_to_have_nothing_to_do_is_no_stall() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(guard(0))


def test_records_that_wait_while_the_partitions_rest_are_no_stall() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(guard(7, lost=True))


def test_a_broker_that_is_gone_while_a_log_is_read_is_waited_for() -> None:
    message = cast("Any", SimpleNamespace(tp=PLACE, partition=0, offset=0, value=b""))
    stage = stage_on(LogOutOfReach())
    asyncio.run(stage._take(message))
    assert list(stage._owned) == []


class Scene:
    """A stage at work on a partition, its broker and its metrics."""

    def __init__(self, *rules: Rule) -> None:
        self.broker = Broker()
        self._registry = CollectorRegistry()
        self._stage = stage_on(self.broker, Rules(rules), self._registry)
        self._offset = 0

    async def handle(self, record: Observations | Tick) -> None:
        owned = await self._stage._owned_or_lost(PLACE.partition)
        assert owned is not None
        # The test does not wait until a tick is due.
        owned.next_tick = 0.0
        message = SimpleNamespace(
            tp=PLACE,
            partition=PLACE.partition,
            offset=self._offset,
            value=record.to_bytes(),
            timestamp=MIDNIGHT.timestamp(),
        )
        self._offset += 1
        await self._stage._handle(cast("Any", message), owned)

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
    return Observations(
        subject=subject,
        bundle="b" * 16,
        observations=[
            Observation(
                position=Position(topic="raw", partition=0, offset=first + number),
                id=f"{first + number}",
                time=time,
                sentiment=sentiment,
                negative=0.9 if sentiment == "negative" else 0.1,
            )
            for number, (time, sentiment) in enumerate(events)
        ],
    )


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


def test_a_state_is_saved_once_all_that_it_remembers_is_confirmed() -> None:
    scene = Scene()
    asyncio.run(scene.handle(surge()))
    *before, last = scene.broker.events
    sent = [topic for event, topic in before if event == "sent"]
    assert set(sent) == {SETTINGS.topics.alerts, SETTINGS.topics.windows}
    assert sorted(topic for event, topic in before if event == "confirmed") == sorted(sent)
    assert last == ("saved", SETTINGS.topics.states)


def test_observations_are_counted_by_what_became_of_them() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(surge())
        await scene.handle(surge())

    scene = Scene()
    asyncio.run(run(scene))
    assert scene.value("observations_total", outcome="counted") == 135
    assert scene.value("observations_total", outcome="repeat") == 135
    assert scene.value("observations_total", outcome="late") == 0
    assert scene.value("subject_events_total", subject=SUBJECT, sentiment="negative") == 40


def test_an_alert_that_fires_is_shown_until_it_is_over() -> None:
    async def run(scene: Scene) -> None:
        assert scene.firing == 0
        await scene.handle(surge())
        assert scene.firing == 1
        assert (scene.ratio or 0) > 1
        await scene.handle(Tick(tick=MIDNIGHT + timedelta(days=1)))
        assert (scene.firing, scene.ratio) == (0, 0)

    asyncio.run(run(Scene()))


def test_an_alert_that_fires_is_shown_again_after_a_rebalance() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(surge())
        before = scene.ratio
        await scene.rebalance()
        assert (scene.firing, scene.ratio) == (0, None)
        await scene.handle(Tick(tick=MIDNIGHT - timedelta(minutes=9)))
        assert (scene.firing, scene.ratio) == (1, before)

    asyncio.run(run(Scene()))


def test_an_alert_is_not_shown_from_when_quiet_hours_begin() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(surge())
        assert (scene.ratio or 0) > 1
        await scene.handle(Tick(tick=MIDNIGHT - timedelta(minutes=5)))
        assert (scene.firing, scene.ratio) == (0, 0)

    night = QuietHours(start=time(23, 55), end=time(7))
    asyncio.run(run(Scene(Rule(name="night", quiet_hours=night))))


def test_the_newest_event_is_one_that_was_counted_whatever_ticks_tell() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(Tick(tick=MIDNIGHT))
        assert scene.value("stream_time_seconds") == 0
        await scene.handle(observed("all", (MIDNIGHT, "neutral")))
        assert scene.value("stream_time_seconds") == MIDNIGHT.timestamp()
        await scene.handle(Tick(tick=MIDNIGHT + timedelta(hours=3)))
        assert scene.value("stream_time_seconds") == MIDNIGHT.timestamp()
        await scene.handle(observed("all", (MIDNIGHT + timedelta(hours=4), "neutral"), first=1))
        newest = (MIDNIGHT + timedelta(hours=4)).timestamp()
        assert scene.value("stream_time_seconds") == newest
        late = observed("all", (MIDNIGHT - timedelta(days=9), "neutral"), first=2)
        await scene.handle(late)
        await scene.handle(observed(SUBJECT, (MIDNIGHT, "neutral")))
        assert scene.value("stream_time_seconds") == newest

    asyncio.run(run(Scene()))
