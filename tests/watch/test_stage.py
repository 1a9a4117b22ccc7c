"""The watch stage: in which order it publishes and saves, what it counts, and that what hangs ends the process."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import partial
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP
from prometheus_client import CollectorRegistry

from stream.kafka import StallError
from stream.labels import Sentiment
from stream.metrics import WatchMetrics
from stream.records import Alert, Observation, Observations, Position, Tick
from stream.rules import QuietHours, Rule, Rules
from stream.settings import Settings, WatchSettings
from stream.spikes.settings import Threshold
from stream.spikes.subject import Subject
from stream.watch.cursor import cursor_key
from stream.watch.log import TakenOverError
from stream.watch.ownership import Owned
from stream.watch.stage import (
    BATCH_OBSERVATIONS,
    BATCH_RECORDS,
    EXPLAIN_SECONDS,
    HURRIED_EXPLAIN_SECONDS,
    WatchStage,
    _surge_ratio,
)

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
    with pytest.raises(StallError, match="none was handled for 1 s"):
        asyncio.run(guard(0, hang=True))


def test_records_that_wait_and_never_come_are_a_stall() -> None:
    with pytest.raises(StallError, match="none was handled for 1 s"):
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
    asyncio.run(stage._take(PLACE, [message]))
    assert list(stage._owned) == []


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
        await self._stage._take(PLACE, [self._message(record)])

    async def take_together(
        self, *records: Observations | Tick, consumer: FakeConsumer | None = None
    ) -> None:
        """Take the next records at once; where there is a `consumer`, one is missing before the last of them."""
        messages = [self._message(record) for record in records]
        if consumer is not None:
            self._stage.app.consumer = cast("Any", consumer)
            messages[-1].offset += 1
        await self._stage._take(PLACE, messages)

    async def take(self, record: Observations | Tick, consumer: FakeConsumer) -> None:
        """Take the next record, of a partition that is read by this consumer."""
        self._stage.app.consumer = cast("Any", consumer)
        await self._stage._take(PLACE, [self._message(record)])

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


def test_records_that_wait_together_are_saved_once_when_all_that_became_of_them_is_confirmed() -> None:
    scene = Scene()
    other = observed("entity:Y", (MIDNIGHT, "neutral"), first=900)
    again = observed("entity:Y", (MIDNIGHT + timedelta(hours=3), "neutral"), first=901)
    asyncio.run(scene.take_together(surge(), other, Tick(tick=MIDNIGHT), again))
    *before, saved = scene.broker.events
    sent = [topic for event, topic in before if event == "sent"]
    assert sorted(topic for event, topic in before if event == "confirmed") == sorted(sent)
    assert saved == ("saved", SETTINGS.topics.states)
    rows = scene.broker.rows
    assert Subject.load("entity:Y", rows[b"entity:Y"], SETTINGS.spikes).clock == MIDNIGHT + timedelta(hours=3)
    assert rows[cursor_key(PLACE.partition)].startswith(b"4 ")
    assert scene.value("observations_total", outcome="counted") == 137


class Hurried:
    """An explainer that remembers how long it was given."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def explained(self, alert: Alert, *, until: float) -> Alert:
        self.seconds.append(until - monotonic())
        return alert


def test_words_are_looked_for_a_shorter_time_while_a_full_batch_waits() -> None:
    async def run(records: int) -> float:
        scene, explainer = Scene(), Hurried()
        scene.explain_by(explainer)
        await scene.read(surge(), *(Tick(tick=MIDNIGHT) for _ in range(records - 1)))
        return max(explainer.seconds)

    assert asyncio.run(run(BATCH_RECORDS - 1)) == pytest.approx(EXPLAIN_SECONDS, abs=0.1)
    assert asyncio.run(run(BATCH_RECORDS)) == pytest.approx(HURRIED_EXPLAIN_SECONDS, abs=0.1)


def test_words_are_looked_for_the_newest_revision_of_an_alert_alone() -> None:
    scene, explainer = Scene(), Hurried()
    scene.explain_by(explainer)
    ago = timedelta(minutes=9)
    grown = observed(SUBJECT, *[(MIDNIGHT - ago, "negative")] * 200, first=500)
    asyncio.run(scene.take_together(surge(), grown))
    assert len(scene.broker.alerts) > 1
    assert len(explainer.seconds) == 1


def test_a_record_is_acknowledged_once_it_is_saved() -> None:
    scene = Scene()
    records = [
        observed(SUBJECT, (MIDNIGHT + timedelta(hours=hour), "neutral"), first=hour) for hour in range(5)
    ]
    asyncio.run(scene.read(*records, elsewhere=observed("entity:Z", (MIDNIGHT, "negative"), first=99)))
    told = [event for event in scene.broker.events if event[0] in ("saved", "acknowledged")]
    saved = ("saved", SETTINGS.topics.states)
    own = [("acknowledged", f"{PLACE.partition}/{offset}") for offset in range(5)]
    assert told == [saved, *own, saved, ("acknowledged", f"{ELSEWHERE.partition}/0")]
    assert {cursor_key(PLACE.partition), cursor_key(ELSEWHERE.partition)} <= scene.broker.rows.keys()


def test_a_record_that_is_dropped_is_acknowledged_too_or_no_later_one_would_be_committed() -> None:
    scene = Scene(broker=TakenOver())
    asyncio.run(scene.read(surge(), Tick(tick=MIDNIGHT)))
    assert scene.acknowledged == [f"{PLACE.partition}/{offset}" for offset in range(2)]
    assert scene.broker.rows == {}


def test_what_waits_when_partitions_move_is_read_again() -> None:
    assert asyncio.run(Scene().wait(surge(), surge())) == 0


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), KafkaConnectionError()], ids=["cancelled", "broker"]
)
def test_what_goes_wrong_once_subjects_know_of_a_record_ends_the_process(error: BaseException) -> None:
    """They are ahead of their log, and what they told may not be out: another starts from the log."""
    scene = Scene(broker=Failing(error))
    with pytest.raises((RuntimeError, KafkaConnectionError)):
        asyncio.run(scene.read(surge()))
    assert scene.acknowledged == []


def full_record(hour: int) -> Observations:
    """A record of as many observations as a batch may have."""
    events: list[tuple[datetime, Sentiment]] = [(MIDNIGHT + timedelta(hours=hour), "neutral")]
    return observed(SUBJECT, *events * BATCH_OBSERVATIONS, first=hour * BATCH_OBSERVATIONS)


def test_records_of_many_observations_are_saved_before_all_that_wait_are_handled() -> None:
    scene = Scene()
    asyncio.run(scene.take_together(full_record(0), full_record(1)))
    assert [event for event, _ in scene.broker.events].count("saved") == 2
    assert scene.value("observations_total", outcome="counted") == 2 * BATCH_OBSERVATIONS


def test_what_waits_behind_a_batch_while_partitions_move_is_left_to_the_next_owner() -> None:
    scene = Scene(broker=(moving := Moving()))
    moving.stage = scene._stage
    asyncio.run(scene.take_together(full_record(0), full_record(1)))
    assert scene.broker.rows[cursor_key(PLACE.partition)] == b"1"
    assert scene.value("observations_total", outcome="counted") == BATCH_OBSERVATIONS


def test_what_was_handled_before_the_broker_went_away_is_saved() -> None:
    scene = Scene()
    record, behind_a_gap = (
        observed(SUBJECT, (MIDNIGHT, "neutral")),
        observed(SUBJECT, (MIDNIGHT, "neutral"), first=1),
    )
    asyncio.run(scene.take_together(record, behind_a_gap, consumer=ConsumerOutOfReach()))
    assert scene.broker.rows[cursor_key(PLACE.partition)] == b"1"
    assert scene.value("observations_total", outcome="counted") == 1


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
        await scene.glance()
        assert scene.firing == 1
        assert (scene.ratio or 0) > 1
        await scene.handle(Tick(tick=MIDNIGHT + timedelta(days=1)))
        await scene.glance()
        assert (scene.firing, scene.ratio) == (0, 0)

    asyncio.run(run(Scene()))


def test_all_alerts_are_looked_at_every_other_second_and_not_with_each_record() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(surge())
        assert scene.firing == 0
        await scene.glance()
        assert scene.firing == 1

    asyncio.run(run(Scene()))


def test_an_alert_of_a_subject_without_history_is_shown_as_no_multiple_of_what_is_usual() -> None:
    async def run(scene: Scene) -> None:
        negatives: list[tuple[datetime, Sentiment]] = [(MIDNIGHT, "negative")] * 30
        await scene.handle(observed(SUBJECT, *negatives))
        await scene.glance()
        assert (scene.firing, scene.ratio) == (1, 1)

    threshold = Threshold(negatives=5, seconds=600)
    asyncio.run(run(Scene(Rule(name="desk", threshold=threshold))))


@pytest.mark.parametrize(("expected", "ratio"), [(4.0, 2.25), (0.09, 100.0)])
def test_the_ratio_of_a_surge_is_that_to_what_was_expected_however_little_that_is(
    expected: float, ratio: float
) -> None:
    alert: Any = SimpleNamespace(negative=9, expected_negative=expected)
    assert _surge_ratio(alert) == pytest.approx(ratio)


def test_an_alert_that_fires_is_shown_again_after_a_rebalance() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(surge())
        await scene.glance()
        before = scene.ratio
        await scene.rebalance()
        await scene.glance()
        assert (scene.firing, scene.ratio) == (0, None)
        await scene.handle(Tick(tick=MIDNIGHT - timedelta(minutes=9)))
        await scene.glance()
        assert (scene.firing, scene.ratio) == (1, before)

    asyncio.run(run(Scene()))


def test_an_alert_is_not_shown_from_when_quiet_hours_begin() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(surge())
        await scene.glance()
        assert (scene.ratio or 0) > 1
        await scene.handle(Tick(tick=MIDNIGHT - timedelta(minutes=5)))
        await scene.glance()
        assert (scene.firing, scene.ratio) == (0, 0)

    night = QuietHours(start=time(23, 55), end=time(7))
    asyncio.run(run(Scene(Rule(name="night", quiet_hours=night))))


def test_of_a_backlog_of_ticks_few_are_heeded_and_not_each_of_these_is_saved() -> None:
    async def run(scene: Scene) -> None:
        await scene.handle(observed(SUBJECT, (MIDNIGHT, "neutral")))
        heeded = set()
        for number in range(250):
            await scene.handle(Tick(tick=MIDNIGHT + timedelta(seconds=number)))
            heeded.add((await scene.owned()).cursor.time)
        assert len(heeded) == 50
        assert scene.broker.events.count(("saved", SETTINGS.topics.states)) < 25

    asyncio.run(run(Scene()))


def test_a_surge_whose_alert_was_sent_and_not_saved_has_the_same_id_for_the_new_owner() -> None:
    times: list[tuple[datetime, Sentiment]] = [
        (MIDNIGHT + timedelta(minutes=5 * number), "neutral") for number in range(864)
    ]
    learned = Scene(broker=Broker(moment=0))

    async def ids(seed: int) -> list[str]:
        """The alert's id for an owner that dies before it is saved, and for the one after it."""
        draw = random.Random(seed)
        owner, records = Scene(broker=Broker(dict(learned.broker.rows), moment=0)), [*history]
        owner.handled = len(records)
        tick = times[-1][0] + timedelta(minutes=20)
        while not owner.broker.alerts:
            number = len(records)
            for _ in range(draw.randint(1, 24)):
                tick += timedelta(seconds=5)
                # Another worker tells the time, too.
                records += [Tick(tick=tick), Tick(tick=tick + timedelta(seconds=draw.uniform(0, 0.8)))]
            late = tick - timedelta(seconds=draw.uniform(0, 600))
            records.append(observed(SUBJECT, (late, "negative"), first=len(times) + number))
            for record in records[number:]:
                rows = dict(owner.broker.rows)
                await owner.handle(record, saved=draw.random() < 0.5)
        heir = Scene(broker=Broker(rows, moment=0))
        heir.handled = (await heir.owned()).cursor.following
        for record in records[heir.handled :]:
            await heir.handle(record)
        return [scene.broker.alerts[0].id for scene in (owner, heir)]

    history = [observed(SUBJECT, *times)]
    asyncio.run(learned.handle(history[0]))
    for seed in range(20):
        first, second = asyncio.run(ids(seed))
        assert first == second


@pytest.mark.parametrize(("read_before", "lost"), [(7, 18), (0, 0)])
def test_records_that_retention_deleted_are_passed_over_and_counted_where_there_were_any(
    read_before: int, lost: int
) -> None:
    scene = Scene(broker=Broker({cursor_key(PLACE.partition): b"%d" % read_before}))
    scene.handled = 25
    asyncio.run(scene.take(Tick(tick=MIDNIGHT), FakeConsumer(beginning=25)))
    assert scene.broker.rows[cursor_key(PLACE.partition)].startswith(b"26 ")
    assert scene.value("observed_expired_total") == lost


def test_to_the_first_record_that_retention_has_left_the_reader_goes_back() -> None:
    scene, consumer = Scene(broker=Broker({cursor_key(PLACE.partition): b"7"})), FakeConsumer(beginning=20)
    scene.handled = 25
    asyncio.run(scene.take(Tick(tick=MIDNIGHT), consumer))
    assert consumer.sent_to == [20]
    assert scene.broker.rows == {cursor_key(PLACE.partition): b"7"}
    assert scene.value("observed_expired_total") == 13


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
