"""What a worker and the doctor ask of the topics, and a worker of a bundle that is put in place of its own."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from mode import Service
from prometheus_client import CollectorRegistry
from tiny_bundle import HEADS, make_tiny_bundle

from stream.bundle import Bundle, BundleError, Head, put_in_place
from stream.cli import main
from stream.doctor import _topics
from stream.engine.errors import EngineError
from stream.kafka import BrokerError
from stream.metrics import EngineMetrics
from stream.score.stage import ScoreStage
from stream.settings import EngineSettings, KafkaSettings, ReviewSettings, Settings
from stream.switch import BundleSwitch
from stream.topics import topic_configurations
from stream.watch.stage import WatchStage
from stream.watchlist import Watchlist
from stream.worker import STAGES, Worker, needed_topics, prepared_engine, prepared_explainer, prepared_rules

SETTINGS = Settings(engine=EngineSettings(provider="cpu", threads=1))
NO_REVIEW = Settings(review=ReviewSettings(random_share=0, uncertain_share=0))
OTHER_HEADS = [Head(name="sentiment", kind="single", labels=["bad", "so-so", "good"]), HEADS[1]]


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The partitions of the topics that the broker has; a test may change them."""
    counts = dict.fromkeys(topic_configurations(Settings()), 8)

    async def partition_counts(_settings: KafkaSettings, topics: Iterable[str]) -> dict[str, int]:
        return {topic: counts[topic] for topic in topics if topic in counts}

    monkeypatch.setattr("stream.kafka.partition_counts", partition_counts)
    return counts


# The topics


def asked_by_worker(settings: Settings) -> object:
    return asyncio.run(needed_topics(settings, STAGES))


who_asks = pytest.mark.parametrize("ask", [asked_by_worker, _topics], ids=["worker", "doctor"])


@who_asks
def test_the_states_need_as_many_partitions_as_the_observations(
    counts: dict[str, int], ask: Callable[[Settings], object]
) -> None:
    ask(Settings())
    counts["sentiment.states"] = 4
    with pytest.raises(
        BrokerError, match=r"states has 4 partitions and sentiment\.observed has 8.* make them alike"
    ):
        ask(Settings())


def test_the_doctor_names_the_file_and_the_variables_that_it_took_the_settings_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.doctor.examine", lambda _settings: [])
    file = tmp_path / "mine.yaml"
    file.write_text("web: {port: 1234}", encoding="utf-8")
    monkeypatch.setenv("DOWNTICK_WEB__HOST", "127.0.0.1")

    def told() -> str:
        return CliRunner().invoke(main, ["doctor"], catch_exceptions=False).output

    assert told() == "✓ settings     no file; variables: DOWNTICK_WEB__HOST\n"
    monkeypatch.setenv("DOWNTICK_CONFIG", str(file))
    assert told() == f"✓ settings     {file}; variables: DOWNTICK_WEB__HOST\n"


@who_asks
def test_the_topic_for_reviews_is_needed_only_where_events_are_put_aside(
    counts: dict[str, int], ask: Callable[[Settings], object]
) -> None:
    del counts["news.review"]
    ask(NO_REVIEW)
    with pytest.raises(BrokerError, match=r"no topic news\.review; make them with `downtick topics create`"):
        ask(Settings())


def test_the_topic_for_reviews_is_not_needed_by_a_worker_that_scores_nothing(counts: dict[str, int]) -> None:
    del counts["news.review"]
    assert asyncio.run(needed_topics(Settings(), ["watch"])) == counts


# Another bundle


@pytest.mark.usefixtures("counts")
async def test_a_worker_judges_and_explains_by_another_bundle_once_one_can_be_used(tmp_path: Path) -> None:
    first = make_tiny_bundle(tmp_path / "bundle")
    settings = SETTINGS.model_copy(update={"bundle": first.folder})
    _, _, watch, score, switch = await Worker(settings, ["score", "watch"])._services()
    assert isinstance(watch, WatchStage)
    assert isinstance(score, ScoreStage)
    assert isinstance(switch, BundleSwitch)
    make_tiny_bundle(tmp_path / "staging", OTHER_HEADS)
    put_in_place(tmp_path / "staging", first.folder)
    await switch.look()
    assert score._engine.bundle.hash == first.hash
    make_tiny_bundle(tmp_path / "staging", maximum_tokens=32)
    second = put_in_place(tmp_path / "staging", first.folder)
    await switch.look()
    explainer = watch._explainer
    assert explainer is not None
    assert [one.bundle.hash for one in (score._engine, explainer._engine)] == [second.hash] * 2
    assert watch._closing is not None
    await asyncio.gather(*score._closing, watch._closing)
    explainer.close()
    score._engine.close()


async def test_a_bundle_whose_labels_are_not_those_of_the_stream_is_not_taken_over(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="'sentiment' must give one of"):
        await prepared_rules(SETTINGS, make_tiny_bundle(tmp_path, OTHER_HEADS))


async def test_a_bundle_that_leaves_the_gpu_idle_does_not_take_the_place_of_one_that_runs_on_it(
    tiny_bundle: Bundle,
) -> None:
    stage: Any = SimpleNamespace(provider="cuda")
    with pytest.raises(EngineError, match="runs on the CPU only, and the bundle in use on a GPU"):
        await prepared_engine(stage, SETTINGS, EngineMetrics(CollectorRegistry()), tiny_bundle)


async def test_where_the_words_cannot_be_explained_by_another_bundle_alerts_go_without_them(
    tmp_path: Path,
) -> None:
    bundle = make_tiny_bundle(tmp_path)
    bundle.model.write_bytes(b"no model")
    given: list[object] = []
    stage: Any = SimpleNamespace(explain_by=given.append)
    take_over = await prepared_explainer(stage, SETTINGS, Watchlist([]), bundle)
    assert given == []
    take_over()
    assert given == [None]


@pytest.mark.parametrize(
    ("arguments", "urls", "stages"),
    [
        ([], "[]", ["score", "watch"]),
        ([], '["json://127.0.0.1"]', ["score", "watch", "notify"]),
        (["--stages", "watch"], '["json://127.0.0.1"]', ["watch"]),
    ],
)
def test_a_worker_tells_people_of_alerts_where_it_is_said_whom(
    arguments: list[str], urls: str, stages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[list[str]] = []

    class Begun:
        def __init__(self, _: Settings, stages: list[str]) -> None:
            begun.append(stages)

        async def run(self) -> None:
            """Nothing is run."""

    monkeypatch.setattr("stream.worker.Worker", Begun)
    monkeypatch.setattr("stream.worker.configure_logging", lambda _: None)
    monkeypatch.setenv("DOWNTICK_NOTIFY__URLS", urls)
    result = CliRunner().invoke(main, ["worker", *arguments])
    assert result.exit_code == 0, result.output
    assert begun == [stages]


@pytest.mark.asyncio
async def test_a_client_that_cancels_its_own_task_keeps_no_service_from_being_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """aiokafka's consumer does, where its broker is away."""

    class Kept(Service):
        async def on_stop(self) -> None:
            stopped.append(self)

    class Cancelling(Service):
        async def on_stop(self) -> None:
            raise asyncio.CancelledError

    async def services() -> list[Service]:
        return [kept, Cancelling()]

    stopped: list[Service] = []
    kept = Kept()
    worker = Worker(SETTINGS, STAGES)
    monkeypatch.setattr(worker, "_services", services)
    monkeypatch.setattr("stream.worker._exit_in", lambda _seconds: None)
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert stopped == [kept]
