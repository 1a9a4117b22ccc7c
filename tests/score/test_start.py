"""A stage that cannot start says why, and holds nothing up when it is stopped."""

import time

import pytest
from prometheus_client import CollectorRegistry

from stream.bundle import Bundle
from stream.engine.engine import Engine
from stream.kafka import BrokerError
from stream.metrics import ScoreMetrics
from stream.score.stage import ScoreStage
from stream.settings import EngineSettings, KafkaSettings, Settings
from stream.watchlist import Watchlist


async def test_a_broker_that_is_gone_by_the_time_of_the_start_is_named_at_once(tiny_bundle: Bundle) -> None:
    engine = Engine(tiny_bundle, EngineSettings(provider="cpu", threads=1))
    settings = Settings(kafka=KafkaSettings(brokers="localhost:1"))
    stage = ScoreStage(
        settings, engine, Watchlist([]), ScoreMetrics(CollectorRegistry()), observed_partitions=1
    )
    with pytest.raises(BrokerError, match="cannot work with Kafka at localhost:1"):
        await stage.on_start()
    started = time.monotonic()
    await stage.on_stop()
    assert time.monotonic() - started < 5
