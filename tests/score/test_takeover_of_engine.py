"""Another engine takes over in the midst of the work: what was asked of the one before is still answered."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

from aiokafka.structs import ConsumerRecord
from prometheus_client import CollectorRegistry
from tiny_bundle import make_tiny_bundle

from stream.bundle import Bundle
from stream.engine.engine import Engine
from stream.engine.judgement import Judgement, Question
from stream.metrics import ScoreMetrics
from stream.score.decode import decode
from stream.score.source import Taken
from stream.score.stage import ScoreStage
from stream.settings import EngineSettings, Settings
from stream.watchlist import Watchlist


async def test_a_window_that_waits_for_the_engine_that_leaves_is_judged_all_the_same(
    tiny_bundle: Bundle,
) -> None:
    settings = EngineSettings(provider="cpu", threads=1)
    leaving, coming = Engine(tiny_bundle, settings), Engine(tiny_bundle, settings)
    leaving.load()
    coming.load()
    stage = ScoreStage(
        Settings(), leaving, Watchlist([]), ScoreMetrics(CollectorRegistry()), observed_partitions=1
    )
    busy = threading.Event()
    blocked: Any = asyncio.get_running_loop().run_in_executor(leaving._executor, busy.wait)
    waiting = asyncio.ensure_future(leaving.judge_async([Question("bad day")]))
    await asyncio.sleep(0)
    stage.judge_by(coming)
    await asyncio.sleep(0.1)
    busy.set()
    await blocked
    [judgement] = await asyncio.wait_for(waiting, 10)
    assert isinstance(judgement, Judgement)
    assert stage._engine is coming
    await asyncio.gather(*stage._closing)
    coming.close()


async def test_a_window_is_told_by_the_bundle_that_judged_it(tiny_bundle: Bundle, tmp_path: Path) -> None:
    settings = EngineSettings(provider="cpu", threads=1)
    other = make_tiny_bundle(tmp_path / "other", maximum_tokens=32)
    leaving, coming = Engine(tiny_bundle, settings), Engine(other, settings)
    leaving.load()
    stage = ScoreStage(
        Settings(), leaving, Watchlist([]), ScoreMetrics(CollectorRegistry()), observed_partitions=1
    )
    value = json.dumps({"text": "bad day"}).encode()
    record = ConsumerRecord("news.raw", 0, 0, 1_772_452_800_000, 0, None, value, None, -1, len(value), ())
    busy = threading.Event()
    blocked: Any = asyncio.get_running_loop().run_in_executor(leaving._executor, busy.wait)
    waiting = asyncio.ensure_future(stage._judge([Taken(record, decode(value, maximum_bytes=1000))]))
    await asyncio.sleep(0)
    stage.judge_by(coming)
    busy.set()
    await blocked
    outgoing = (await asyncio.wait_for(waiting, 10)).outgoing
    assert [event.bundle for event in outgoing.scored] == [tiny_bundle.hash]
    assert {batch.bundle for batch in outgoing.observations} == {tiny_bundle.hash}
    assert other.hash != tiny_bundle.hash
    await asyncio.gather(*stage._closing)
    coming.close()
