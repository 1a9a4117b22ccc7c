"""`downtick worker`: runs the stages, the web server, and ends with a status that says how it went."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from aiokafka.errors import KafkaError
from mode import Service
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from stream.bundle import Bundle, BundleError, load_bundle
from stream.command import EXPECTED, config_option, make_folder, reports_errors
from stream.engine.engine import Engine
from stream.engine.errors import EngineError
from stream.explanation.evidence import EvidenceExplainer
from stream.kafka import BrokerError, FencedError, require_topics
from stream.labels import ALL, ENTITY_HEAD, SENTIMENT_HEAD, SENTIMENTS
from stream.logs import configure_logging
from stream.metrics import EngineMetrics, NotifyMetrics, ScoreMetrics, SwitchMetrics, WatchMetrics
from stream.notify.stage import NotifyStage
from stream.notify.targets import open_targets
from stream.presence import BrokerPresence
from stream.rules import Rules, load_rules
from stream.score.compose import topic_subject
from stream.score.stage import ScoreStage
from stream.settings import Settings, load_settings
from stream.switch import BundleSwitch, Prepare, Takeover
from stream.topics import topic_configurations
from stream.watch.stage import WatchStage
from stream.watchlist import Watchlist, load_watchlist, subject_of
from stream.web import Check, WebServer

STAGES = ("score", "watch", "notify")
STOP_SECONDS = 40.0
EXIT_SECONDS = 70.0
"""After the stages have begun to stop, the process is gone in this time, whatever hangs in it."""
EXIT_FAILED = 1

logger = logging.getLogger(__name__)


class Worker:
    """The services of one process, started in order and stopped in reverse."""

    def __init__(self, settings: Settings, stages: Sequence[str]) -> None:
        self._settings = settings
        self._stages = stages
        self._failure: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Run until a signal ends it; raise what made a service fail."""
        loop = asyncio.get_running_loop()
        self._failure = loop.create_future()
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        services: list[Service] = []
        try:
            for service in await self._services():
                services.append(service)
                await service.start()
            logger.info("worker started: %s", ", ".join(self._stages))
            await self._wait(stop, services)
        finally:
            _exit_in(EXIT_SECONDS)
            for service in reversed(services):
                try:
                    await asyncio.wait_for(service.stop(), STOP_SECONDS)
                except (Exception, asyncio.CancelledError):
                    # The others are to be stopped all the same; what was not committed is repeated. Nobody cancels
                    # this task: a client whose broker is away does that to one of its own, and lets it escape.
                    logger.exception("%s did not stop as it should", type(service).__name__)

    async def _services(self) -> list[Service]:
        settings = self._settings
        registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        bundle = load_bundle(settings.bundle)
        require_heads(bundle)
        watchlist = load_watchlist(settings.watchlist) if settings.watchlist else Watchlist([])
        rules = _rules(settings, bundle)
        counts = await needed_topics(settings, self._stages)
        presence = BrokerPresence(partial(needed_topics, settings, self._stages))
        checks: dict[str, Check] = {"broker": lambda: presence.ready}
        stages: list[Service] = []
        prepares: list[Prepare] = [partial(prepared_rules, settings)]
        if "notify" in self._stages:
            notify_metrics = NotifyMetrics(registry)
            tellers = [
                NotifyStage(settings, target, notify_metrics) for target in open_targets(settings.notify.urls)
            ]
            checks["notify"] = lambda: all(teller.ready for teller in tellers)
            stages += tellers
        if "watch" in self._stages:
            make_folder(settings.watch.state_directory)
            watch = WatchStage(
                settings,
                rules,
                WatchMetrics(registry, watched_subjects(bundle, watchlist)),
                await loaded_explainer(bundle, settings, watchlist),
                fail=self._fail,
            )
            checks["watch"] = lambda: watch.ready
            stages.append(watch)
            prepares.append(partial(prepared_explainer, watch, settings, watchlist))
        if "score" in self._stages:
            engine_metrics = EngineMetrics(registry)
            score = ScoreStage(
                settings,
                await loaded_engine(bundle, settings, engine_metrics),
                watchlist,
                ScoreMetrics(registry),
                observed_partitions=counts[settings.topics.observed],
            )
            checks["score"] = lambda: score.ready
            stages.append(score)
            prepares.append(partial(prepared_engine, score, settings, engine_metrics))
        if settings.bundle_check_seconds:
            switch = BundleSwitch(bundle, settings.bundle_check_seconds, prepares, SwitchMetrics(registry))
            stages.append(switch)
        # The web server first: a probe finds it while the stages still join their groups.
        return [WebServer(settings.web, registry, checks), presence, *stages]

    async def _wait(self, stop: asyncio.Event, services: Sequence[Service]) -> None:
        assert self._failure is not None  # made when `run` began
        stopped = asyncio.create_task(stop.wait())
        ends = [asyncio.create_task(service.wait_until_stopped()) for service in services]
        try:
            waiting: list[asyncio.Future[Any]] = [stopped, *ends, self._failure]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopped, *ends):
                task.cancel()
        if self._failure.done():
            await self._failure
        for service in services:
            if service.crash_reason is not None:
                raise service.crash_reason

    def _fail(self, error: Exception) -> None:
        if isinstance(error, FencedError):
            logger.critical("the worker ends at once: %s", error)
            logging.shutdown()
            os._exit(EXIT_FAILED)
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)


def _exit_in(seconds: float) -> None:
    """Let a thread that hangs (a model that never answers, a client that flushes for ever) not keep the process.

    It would keep its partitions too.
    """
    timer = threading.Timer(seconds, os._exit, (EXIT_FAILED,))
    timer.daemon = True
    timer.start()


def _rules(settings: Settings, bundle: Bundle) -> Rules:
    if settings.rules is None:
        return Rules()
    return load_rules(settings.rules, settings.spikes, bundle.manifest.topics)


async def needed_topics(settings: Settings, stages: Sequence[str]) -> dict[str, int]:
    """The partitions of each topic that these stages need; `BrokerError` where they are not as needed."""
    topics = settings.topics
    wanted = set(topic_configurations(settings))
    if "score" not in stages or not settings.review.draws:
        wanted.discard(topics.review)
    counts = await require_topics(settings.kafka, sorted(wanted))
    states, observed = counts[topics.states], counts[topics.observed]
    if states != observed:
        raise BrokerError(
            f"{topics.states} has {states} partitions and {topics.observed} has {observed}: "
            "they hold the same subjects, so make them alike"
        )
    return counts


def watched_subjects(bundle: Bundle, watchlist: Watchlist) -> list[str]:
    """The subjects that have metrics of their own: `all`, each topic, each company of the watch list."""
    topics = map(topic_subject, bundle.manifest.topics)
    return [ALL, *topics, *map(subject_of, watchlist.mentions)]


def require_heads(bundle: Bundle) -> None:
    """Refuse a bundle that cannot say what the stream needs: `BundleError`."""
    heads = [bundle.manifest.head(SENTIMENT_HEAD)]
    heads += [head for head in bundle.manifest.heads if head.name == ENTITY_HEAD]
    for head in heads:
        if head.kind != "single" or set(head.labels) != set(SENTIMENTS):
            raise BundleError(
                f"bundle {bundle.folder}: the head {head.name!r} must give one of {', '.join(SENTIMENTS)}"
            )


async def loaded_engine(bundle: Bundle, settings: Settings, metrics: EngineMetrics) -> Engine:
    """The engine, warm, and the metrics that say what it runs."""
    engine = Engine(bundle, settings.engine, metrics)
    await asyncio.to_thread(engine.load)
    _tell_of(engine, metrics)
    return engine


def _tell_of(engine: Engine, metrics: EngineMetrics) -> None:
    bundle = engine.bundle
    manifest = bundle.manifest
    metrics.trained_on(manifest.profile)
    metrics.bundle_in_use(manifest.name, bundle.hash, manifest.precision, engine.provider)
    logger.info("bundle %s (%s) runs on %s", manifest.name, bundle.hash, engine.provider)


async def loaded_explainer(
    bundle: Bundle, settings: Settings, watchlist: Watchlist
) -> EvidenceExplainer | None:
    """What names the words behind an alert, ready; None where the settings want none."""
    if not settings.watch.explained_events:
        return None
    try:
        explainer = await asyncio.to_thread(
            EvidenceExplainer,
            bundle,
            watchlist,
            settings.watch.explained_events,
            settings.engine.provider,
        )
        await asyncio.to_thread(explainer.load)
    except (EngineError, BundleError) as error:
        logger.warning("alerts go without the words behind them: %s", error)
        return None
    return explainer


async def prepared_rules(settings: Settings, bundle: Bundle) -> Takeover:
    """Nothing is switched of the rules, but a bundle without their topics would mute alerts for good."""
    require_heads(bundle)
    await asyncio.to_thread(_rules, settings, bundle)
    return lambda: None


async def prepared_engine(
    stage: ScoreStage, settings: Settings, metrics: EngineMetrics, bundle: Bundle
) -> Takeover:
    """An engine of another bundle, warm, for the score stage."""
    engine = Engine(bundle, settings.engine, metrics)
    await asyncio.to_thread(engine.load)
    if stage.provider == "cuda" and engine.provider != "cuda":
        raise EngineError("it runs on the CPU only, and the bundle in use on a GPU")

    def take_over() -> None:
        stage.judge_by(engine)
        _tell_of(engine, metrics)

    return take_over


async def prepared_explainer(
    stage: WatchStage, settings: Settings, watchlist: Watchlist, bundle: Bundle
) -> Takeover:
    """An explainer of another bundle for the watch stage; as at the start, alerts go without words if it fails."""
    return partial(stage.explain_by, await loaded_explainer(bundle, settings, watchlist))


@click.command()
@config_option
@click.option(
    "--stages",
    help=f"Which stages to run, by commas: {', '.join(STAGES)}. Default: all, but notify only with `notify.urls`.",
)
@reports_errors
def worker(config: Path | None, stages: str | None) -> None:
    """Run stages until SIGTERM or Ctrl-C; start more workers to share the load."""
    chosen = [stage.strip() for stage in (stages or "").split(",") if stage.strip()]
    unknown = sorted(set(chosen) - set(STAGES))
    if unknown or (stages is not None and not chosen):
        raise click.BadParameter(f"{stages!r}: choose from {', '.join(STAGES)}", param_hint="--stages")
    settings = load_settings(config)
    if stages is None:
        chosen = [stage for stage in STAGES if stage != "notify" or settings.notify.urls]
    configure_logging(settings.logging)
    try:
        asyncio.run(Worker(settings, chosen).run())
    except EXPECTED:
        raise
    except KafkaError as error:
        # Such as a right that is missing, or a record that is too large for the broker.
        logger.critical("the worker ends, since Kafka refuses: %s", error)
        sys.exit(EXIT_FAILED)
    except Exception:
        logger.exception("the worker ends: an error that it cannot handle")
        sys.exit(EXIT_FAILED)
