"""Another engine takes over in the midst of the work: what was asked of the one before is still answered."""

import asyncio
import threading
from typing import Any

from prometheus_client import CollectorRegistry

from stream.bundle import Bundle
from stream.engine.engine import Engine
from stream.engine.judgement import Judgement, Question
from stream.metrics import ScoreMetrics
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
