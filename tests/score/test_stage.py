"""In which order the score stage publishes and commits, and when it gives up."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from prometheus_client import CollectorRegistry

from stream.kafka import StallError
from stream.metrics import ScoreMetrics
from stream.records import DeadLetter, DeadLetterReason, Observations, Position, ScoredEvent
from stream.score.clock import PartitionClock
from stream.score.publish import Outgoing, Publisher
from stream.score.stage import Judged, ScoreStage
from stream.settings import ReviewSettings, ScoreSettings, Settings
from stream.watchlist import Watchlist

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
POSITION = Position(topic="news.raw", partition=0, offset=6)
SCORED = ScoredEvent(
    id="1",
    position=POSITION,
    time=NOON,
    scored_at=NOON,
    text="Profit falls",
    language="en",
    sentiment="negative",
    sentiment_probabilities={"negative": 0.9, "neutral": 0.1, "positive": 0.0},
    confidence=0.9,
    topics=[],
    topic_probabilities={},
    entities=[],
    subjects=["all"],
    bundle="a",
)
LETTER = DeadLetter(
    reason=DeadLetterReason.NOT_JSON,
    detail="",
    position=POSITION,
    recorded_at=NOON,
    failed_at=NOON,
    key_base64=None,
    value_base64=None,
    value_bytes=0,
)
SEEN = Observations(subject="all", bundle="a", observations=[])
WINDOW = Judged(Outgoing([SCORED], [SEEN], [LETTER]), {0: (7, "clock")}, [NOON.timestamp()], NOON)
"""One record of each kind."""
KINDS = ("scored event", "observations", "dead letter")
NO_REVIEW = Settings(review=ReviewSettings(random_share=0, uncertain_share=0))


class Source:
    """Remembers what is committed; so many events wait in its partition."""

    failure: Exception | None = None
    reads_all = True

    def __init__(self, lag: int = 0) -> None:
        self.committed: list[Mapping[int, tuple[int, str]]] = []
        self.clocks: dict[int, PartitionClock] = {}
        self._lag = lag

    async def commit(self, reached: Mapping[int, tuple[int, str]]) -> None:
        self.committed.append(reached)

    async def lags(self, *, in_flight: bool) -> dict[int, int]:  # noqa: ARG002
        return {0: self._lag}


class Producer:
    """Takes records, and confirms them when it is told to."""

    def __init__(self) -> None:
        self.confirmations: list[asyncio.Future[None]] = []

    async def send(self, topic: str, value: bytes, **_kwargs: object) -> asyncio.Future[None]:  # noqa: ARG002
        self.confirmations.append(asyncio.get_running_loop().create_future())
        return self.confirmations[-1]


def stage_of(
    source: Source,
    settings: Settings,
    producer: Producer | None = None,
    registry: CollectorRegistry | None = None,
) -> ScoreStage:
    """A stage between this source and this producer, with an engine that has nothing to do."""
    engine: Any = SimpleNamespace(steps=0)
    metrics = ScoreMetrics(registry or CollectorRegistry())
    stage = ScoreStage(settings, engine, Watchlist([]), metrics, observed_partitions=1)
    stage._source = source  # type: ignore[assignment]
    stage._publisher = Publisher(producer or Producer(), settings.topics, idempotent=True)
    return stage


@pytest.mark.parametrize("withheld", range(len(KINDS)), ids=KINDS)
async def test_offsets_are_committed_only_once_the_broker_has_confirmed_what_was_published(
    withheld: int,
) -> None:
    source, producer = Source(), Producer()
    stage = stage_of(source, NO_REVIEW, producer)
    finish = asyncio.create_task(stage._finish(WINDOW))
    await asyncio.sleep(0.01)
    assert len(producer.confirmations) == len(KINDS)
    last = producer.confirmations.pop(withheld)
    for confirmation in producer.confirmations:
        confirmation.set_result(None)
    await asyncio.sleep(0.01)
    assert source.committed == []
    last.set_result(None)
    await finish
    assert source.committed == [WINDOW.reached]


@pytest.mark.parametrize("refused", range(len(KINDS)), ids=KINDS)
async def test_of_a_window_that_the_broker_refuses_nothing_is_committed(refused: int) -> None:
    source, producer = Source(), Producer()
    stage = stage_of(source, NO_REVIEW, producer)
    finish = asyncio.create_task(stage._finish(WINDOW))
    await asyncio.sleep(0.01)
    producer.confirmations.pop(refused).set_exception(MessageSizeTooLargeError())
    for confirmation in producer.confirmations:
        confirmation.set_result(None)
    with pytest.raises(MessageSizeTooLargeError):
        await finish
    assert source.committed == []


async def test_a_window_that_was_judged_beside_one_that_the_broker_refuses_is_not_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, producer = Source(), Producer()
    stage = stage_of(source, NO_REVIEW, producer)

    async def take() -> Any:
        if stage._in_flight == 2:
            stage._stopped.set()
            return []
        return ["a record"]

    async def judge(_taken: Any) -> Judged:
        if stage._in_flight == 2:
            await asyncio.sleep(0.01)
            assert len(producer.confirmations) == len(KINDS), "the first window is on its way meanwhile"
            asyncio.get_running_loop().call_soon(
                producer.confirmations[0].set_exception, MessageSizeTooLargeError()
            )
        return WINDOW

    monkeypatch.setattr(source, "take", take, raising=False)
    monkeypatch.setattr(stage, "_judge", judge)
    stage._may_fetch.set()
    task: Any = ScoreStage.__dict__["_run"]
    async with asyncio.timeout(5):
        with pytest.raises(MessageSizeTooLargeError):
            await task(stage)
    assert len(producer.confirmations) == len(KINDS)
    assert source.committed == []


async def test_what_is_put_aside_for_review_counts_in_no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = CollectorRegistry()
    stage = stage_of(
        Source(), Settings(review=ReviewSettings(random_share=1)), producer := Producer(), registry
    )
    monkeypatch.setattr("stream.score.stage.time.time", lambda: clock[0])
    clock = [NOON.timestamp() + 1]
    finish = asyncio.create_task(stage._finish(WINDOW))
    await asyncio.sleep(0.01)
    for confirmation in producer.confirmations:
        confirmation.set_result(None)
    await asyncio.sleep(0.01)
    clock[0] += 5
    producer.confirmations[-1].set_result(None)
    await finish
    assert len(producer.confirmations) == len(KINDS) + 1
    assert registry.get_sample_value("downtick_score_latency_seconds_sum") == 1


async def test_a_worker_that_begins_in_a_silent_night_tells_the_time_that_was_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, producer = Source(), Producer()
    stage = stage_of(source, Settings(), producer)
    before = PartitionClock(timedelta())
    before.place(NOON, NOON, NOON)
    source.clocks[0] = PartitionClock(timedelta())
    source.clocks[0].load(before.dump())
    told: list[datetime] = []

    async def tick(now: datetime, _partitions: int) -> None:
        told.append(now)
        stage._stopped.set()

    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(stage._publisher, "tick", tick)
    monkeypatch.setattr(stage, "sleep", sleep)
    stage._go_on()
    task: Any = ScoreStage.__dict__["_tick"]
    async with asyncio.timeout(5):
        await task(stage)
    assert timedelta() <= told[0] - NOON < timedelta(seconds=5)


@pytest.mark.parametrize(("lag", "reads_all"), [(0, True), (3, True), (0, False)])
async def test_it_goes_on_to_the_time_of_now_once_unless_events_may_wait_here_or_for_another_worker(
    monkeypatch: pytest.MonkeyPatch, lag: int, *, reads_all: bool
) -> None:
    source = Source(lag)
    source.reads_all = reads_all
    stage = stage_of(source, Settings())
    source.clocks[0] = PartitionClock(timedelta())
    delay, night = timedelta(minutes=10), timedelta(hours=6)
    source.clocks[0].place(NOON, NOON + delay, NOON + delay)
    clock = Clock(stage, monkeypatch, until=10)

    def wall(_zone: object) -> datetime:
        # Somebody sets it wrong a few seconds later.
        return NOON + delay + night + (timedelta(hours=48) if clock.now > 4 else timedelta())

    monkeypatch.setattr("stream.score.stage.datetime", SimpleNamespace(now=wall))
    stage._go_on()
    await watch(stage)
    told = stage._stream_clock.now(clock.now)
    assert told is not None
    expected = NOON + night if reads_all and not lag else NOON
    assert timedelta() <= told - expected < timedelta(minutes=1)


class Clock:
    """Time that passes only while the stage sleeps, until it is enough."""

    def __init__(self, stage: ScoreStage, monkeypatch: pytest.MonkeyPatch, until: float) -> None:
        self.now = 0.0
        self._stage, self._until = stage, until
        self.scores = False
        stage._moved_at = 0.0
        monkeypatch.setattr("stream.score.stage.time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(stage, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self._stage._engine.steps += self.scores
        if self.now > self._until:
            self._stage._shutdown.set()
            self._stage._stopped.set()


async def watch(stage: ScoreStage) -> None:
    """Look after the stage's progress until it ends."""
    task: Any = ScoreStage.__dict__["_watch_progress"]
    await task(stage)


STALLS_SOON = Settings(score=ScoreSettings(stall_seconds=30))


async def test_while_events_wait_and_none_is_scored_the_stage_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = stage_of(Source(lag=3), STALLS_SOON)
    stage._may_fetch.set()
    clock = Clock(stage, monkeypatch, until=100)
    with pytest.raises(StallError, match=r"events wait in news\.raw, and none was scored for 30 s"):
        await watch(stage)
    assert 30 < clock.now < 40


async def test_a_stage_that_gets_no_partition_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(Source(), STALLS_SOON)
    Clock(stage, monkeypatch, until=100)
    with pytest.raises(StallError, match="gave this worker no partition"):
        await watch(stage)


async def test_a_stage_whose_model_works_or_has_nothing_to_do_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for lag, scores in ((3, True), (0, False)):
        stage = stage_of(Source(lag), STALLS_SOON)
        stage._may_fetch.set()
        clock = Clock(stage, monkeypatch, until=100)
        clock.scores = scores
        await watch(stage)
        assert clock.now > 100


async def test_what_kept_the_source_from_its_partitions_ends_the_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Source()
    source.failure = OSError("away")
    stage = stage_of(source, STALLS_SOON)
    Clock(stage, monkeypatch, until=100)
    with pytest.raises(OSError, match="away"):
        await watch(stage)
