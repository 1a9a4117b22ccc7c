"""`downtick doctor`: what works, what does not, and what to do about it."""

import asyncio
import importlib.metadata
import platform
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from stream.bundle import BundleError, load_bundle
from stream.command import EXPECTED, config_option, make_folder
from stream.engine.engine import Engine
from stream.engine.errors import EngineError
from stream.kafka import BrokerError, partition_counts
from stream.notify.targets import open_targets
from stream.rules import load_rules
from stream.settings import Settings, given_variables, load_settings
from stream.topics import topic_configurations, topic_deviations
from stream.watchlist import load_watchlist
from stream.worker import STAGES, needed_topics, require_heads

PACKAGES = (
    "downtick",
    "faust-streaming",
    "aiokafka",
    "onnxruntime",
    "onnxruntime-gpu",
    "tokenizers",
    "pydantic",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `advice` says what to do where it failed."""

    check: str
    works: bool
    detail: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check that can be run."""
    yield _versions()
    yield _checked("bundle", lambda: _bundle(settings))
    yield _checked("provider", lambda: _provider(settings))
    if settings.watchlist is not None:
        yield _checked("watch list", lambda: _watchlist(settings))
    if settings.rules is not None:
        yield _checked("rules", lambda: _rules(settings))
    if settings.notify.urls:
        yield _checked("targets", lambda: _targets(settings))
    yield _checked("broker", lambda: _broker(settings))
    topics = _checked("topics", lambda: _topics(settings))
    yield topics
    if topics.works:
        yield _checked("retention", lambda: _retention(settings))
    yield _checked("state folder", lambda: _state_folder(settings))
    yield _checked("web port", lambda: _port(settings))


def _checked(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, works=True, detail=check())
    except (*EXPECTED, OSError) as error:
        return Finding(name, works=False, detail=str(error))


def _versions() -> Finding:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    runtimes = [name for name in ("onnxruntime", "onnxruntime-gpu") if name in found]
    described = ", ".join(f"{name} {version}" for name, version in found.items())
    if len(runtimes) == 1:
        return Finding("versions", works=True, detail=f"Python {platform.python_version()}, {described}")
    problem = (
        "onnxruntime and onnxruntime-gpu overwrite each other: uninstall both, then install one"
        if runtimes
        else "no ONNX Runtime: install the extra `cpu` or `gpu`"
    )
    return Finding("versions", works=False, detail=f"{problem} ({described})")


def _bundle(settings: Settings) -> str:
    bundle = load_bundle(settings.bundle)
    require_heads(bundle)
    manifest = bundle.manifest
    return f"{manifest.name} ({bundle.hash}), {manifest.precision}, {', '.join(manifest.languages)}, verified"


def _provider(settings: Settings) -> str:
    try:
        bundle = load_bundle(settings.bundle)
    except BundleError as error:
        raise EngineError("not checked, since there is no bundle to run") from error
    engine = Engine(bundle, settings.engine)
    try:
        engine.load()
        return f"{engine.provider} runs the model"
    finally:
        engine.close()


def _watchlist(settings: Settings) -> str:
    assert settings.watchlist is not None
    return f"{len(load_watchlist(settings.watchlist).mentions)} companies"


def _rules(settings: Settings) -> str:
    assert settings.rules is not None
    try:
        topics = load_bundle(settings.bundle).manifest.topics
    except BundleError:
        topics = None  # the bundle has a finding of its own
    return f"{len(load_rules(settings.rules, settings.spikes, topics))} rules"


def _targets(settings: Settings) -> str:
    names = ", ".join(target.name for target in open_targets(settings.notify.urls))
    return f"{names}; `downtick alerts test` tells them"


def _broker(settings: Settings) -> str:
    asyncio.run(partition_counts(settings.kafka, []))
    return f"{settings.kafka.brokers} answers"


def _topics(settings: Settings) -> str:
    counts = asyncio.run(needed_topics(settings, STAGES))
    return ", ".join(f"{name} ({count})" for name, count in counts.items())


def _retention(settings: Settings) -> str:
    try:
        deviations = asyncio.run(topic_deviations(settings))
    except BrokerError as error:
        # The embedded broker knows no such question, and who may read topics may not be allowed to ask it.
        return f"not checked: {error}"
    wanted = topic_configurations(settings)
    told = "; ".join(
        f"{name} has {key} {value}, not {wanted[name][key]}"
        for name, found in deviations.items()
        for key, value in found.items()
    )
    if any("delete" in found.get("cleanup.policy", "") for found in deviations.values()):
        raise BrokerError(f"{told}: what must be kept would be deleted; set it with Kafka's own tools")
    return told or "each topic keeps its records as `downtick topics create` has it"


def _state_folder(settings: Settings) -> str:
    make_folder(settings.watch.state_directory)
    return f"{settings.watch.state_directory} can be written to"


def _port(settings: Settings) -> str:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.web.host, settings.web.port))
        except OSError as error:
            raise OSError(
                f"{settings.web.host}:{settings.web.port}: {error.strerror}; is a worker running already? "
                "Otherwise choose another `web.port`"
            ) from error
    return f"{settings.web.host}:{settings.web.port} is free"


@click.command()
@config_option
def doctor(config: Path | None) -> None:
    """Check versions, bundle, provider, broker, topics and port: what works, what does not, what to do."""
    try:
        settings = load_settings(config)
    except EXPECTED as error:
        click.echo(f"✗ settings     {error}")
        raise SystemExit(1) from error
    given = ", ".join(given_variables())
    click.echo(f"✓ {'settings':<12} {config or 'no file'}; variables: {given or 'none'}")
    failed = False
    for finding in examine(settings):
        failed |= not finding.works
        click.echo(f"{'✓' if finding.works else '✗'} {finding.check:<12} {finding.detail}")
    raise SystemExit(1 if failed else 0)
