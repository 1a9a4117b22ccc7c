"""In which order the score stage publishes and commits, and when it gives up."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from prometheus_client import CollectorRegistry

from stream.kafka import StallError
from stream.metrics import ScoreMetrics
from stream.records import Observations
from stream.score.publish import Outgoing, Publisher
from stream.score.stage import Judged, ScoreStage
from stream.settings import ScoreSettings, Settings
from stream.watchlist import Watchlist

WINDOW = Judged(
    Outgoing([], [Observations(subject="all", bundle="a", observations=[])], []), {0: (7, "clock")}, [], None
)


class Source:
    """Remembers what is committed; so many events wait in its partition."""

    failure: Exception | None = None

    def __init__(self, lag: int = 0) -> None:
        self.committed: list[Mapping[int, tuple[int, str]]] = []
        self._lag = lag

    async def commit(self, reached: Mapping[int, tuple[int, str]]) -> None:
        self.committed.append(reached)

    async def lags(self, *, in_flight: bool) -> dict[int, int]:  # noqa: ARG002
        return {0: self._lag}


class Producer:
    """Takes records, and confirms them when it is told to."""

    def __init__(self) -> None:
        self.confirmations: list[asyncio.Future[None]] = []

    async def send(self, topic: str, value: bytes, key: bytes) -> asyncio.Future[None]:  # noqa: ARG002
        self.confirmations.append(asyncio.get_running_loop().create_future())
        return self.confirmations[-1]


def stage_of(source: Source, settings: Settings) -> ScoreStage:
    """A stage that reads from this source, with an engine that has nothing to do."""
    engine: Any = SimpleNamespace(batches=0)
    stage = ScoreStage(
        settings, engine, Watchlist([]), ScoreMetrics(CollectorRegistry()), observed_partitions=1
    )
    stage._source = source  # type: ignore[assignment]
    return stage


async def test_offsets_are_committed_only_once_the_broker_has_confirmed_what_was_published() -> None:
    source, producer = Source(), Producer()
    stage = stage_of(source, Settings())
    stage._publisher = Publisher(producer, Settings().topics, idempotent=True)
    finish = asyncio.create_task(stage._finish(WINDOW))
    await asyncio.sleep(0.01)
    [confirmation] = producer.confirmations
    assert source.committed == []
    confirmation.set_result(None)
    await finish
    assert source.committed == [WINDOW.reached]


async def test_of_a_window_that_the_broker_refuses_nothing_is_committed() -> None:
    source, producer = Source(), Producer()
    stage = stage_of(source, Settings())
    stage._publisher = Publisher(producer, Settings().topics, idempotent=True)
    finish = asyncio.create_task(stage._finish(WINDOW))
    await asyncio.sleep(0.01)
    producer.confirmations[0].set_exception(MessageSizeTooLargeError())
    with pytest.raises(MessageSizeTooLargeError):
        await finish
    assert source.committed == []


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
        self._stage._engine.batches += self.scores
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
