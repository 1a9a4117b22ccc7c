"""`downtick alerts tail`: follow the alerts, as JSON or for people."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import click
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from stream.command import config_option, reports_errors
from stream.kafka import client_options, require_topics
from stream.logs import configure_logging
from stream.notify.message import Message
from stream.notify.targets import open_targets
from stream.records import Alert, AlertState, Evidence, Severity
from stream.settings import LoggingSettings, Settings, load_settings
from stream.spikes.reason import told

COLOURS = {Severity.YELLOW: "yellow", Severity.ORANGE: "dark_orange", Severity.RED: "red"}


async def follow_alerts(settings: Settings, *, from_start: bool) -> AsyncIterator[Alert]:
    """Yield every alert revision, those already there first if `from_start`; does not end by itself."""
    topic = settings.topics.alerts
    count = (await require_topics(settings.kafka, [topic]))[topic]
    consumer = AIOKafkaConsumer(
        **client_options(settings.kafka), auto_offset_reset="earliest" if from_start else "latest"
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, partition) for partition in range(count)])
        async for record in consumer:
            if record.value is None:
                continue
            with contextlib.suppress(ValidationError):
                yield Alert.model_validate_json(record.value)
    finally:
        await consumer.stop()


def describe(alert: Alert) -> Text:
    """An alert's revision in a line."""
    colour = "green" if alert.state is AlertState.RESOLVED else COLOURS[alert.severity]
    line = Text(f"{alert.updated_at:%Y-%m-%d %H:%M} ")
    line.append(f"{alert.state.value:<8} {alert.severity.value:<6} ", style=colour)
    line.append(f"{alert.subject}  ", style="bold")
    line.append(told(alert))
    if alert.muted:
        line.append(f"  (muted by {alert.muted})", style="dim")
    return line


def describe_evidence(evidence: Evidence) -> Text:
    """One of the worst events in a line; the words that drove its score stand out."""
    excerpt = Text(evidence.excerpt)
    for word in evidence.words:
        # Where a script puts no spaces, a word has no boundaries either.
        bounded = rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word)
        excerpt.highlight_regex(bounded, "bold not dim")
    return Text.assemble((f"    {evidence.negative:.2f}  "), excerpt, style="dim")


@click.group()
def alerts() -> None:
    """The alerts that the watch stage publishes."""


@alerts.command()
@config_option
@click.option("--from-start", is_flag=True, help="Show the alerts that are already there, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--muted", is_flag=True, help="Show what the desk's rules mute, too.")
@reports_errors
def tail(config: Path | None, *, from_start: bool, as_json: bool, muted: bool) -> None:
    """Follow the alerts until Ctrl-C."""
    settings = load_settings(config)
    console = Console(soft_wrap=True)

    async def follow() -> None:
        async for alert in follow_alerts(settings, from_start=from_start):
            if alert.muted and not muted:
                continue
            if as_json:
                click.echo(alert.to_bytes())
            else:
                console.print(describe(alert))
                for evidence in alert.evidence:
                    console.print(describe_evidence(evidence))

    asyncio.run(follow())


@alerts.command()
@config_option
@reports_errors
def test(config: Path | None) -> None:
    """Tell all of `notify.urls` that this is a test."""
    # Why a target takes no message is what is asked here.
    configure_logging(LoggingSettings(format="text", level="warning"))
    targets = open_targets(load_settings(config).notify.urls)
    message = Message("Downtick: a test", "Alerts will be told here.", "success")
    failed = False
    for target in targets:
        told = asyncio.run(target.tell(message))
        failed |= not told
        click.echo(f"{'✓' if told else '✗'} {target.name}{'' if told else ': it did not take the message'}")
    if failed:
        raise click.exceptions.Exit(1)
