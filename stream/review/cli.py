"""`downtick review`: a person labels events in the terminal, a key each."""

import asyncio
import random
from collections.abc import Iterable
from pathlib import Path

import click
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError
from rich.console import Console

from stream.command import UsageError, config_option, reports_errors
from stream.kafka import client_options, require_topics
from stream.labels import Sentiment
from stream.names import places
from stream.records import ReviewItem
from stream.review.labels import Label, LabelFile
from stream.settings import Settings, load_settings
from stream.watchlist import names_of

KEYS: dict[str, Sentiment] = {"n": "negative", "u": "neutral", "p": "positive"}
_SKIP, _QUIT = "s", "q"
_HELP = "[n]egative  ne[u]tral  [p]ositive  [s]kip  [q]uit"
_COMPANIES = 5
_FETCH_MILLISECONDS = 1000


class _QuitError(Exception):
    """The person has had enough."""


async def waiting(settings: Settings) -> list[ReviewItem]:
    """All items of the topic up to now, each event once."""
    topic = settings.topics.review
    count = (await require_topics(settings.kafka, [topic]))[topic]
    parts = [TopicPartition(topic, partition) for partition in range(count)]
    consumer = AIOKafkaConsumer(**client_options(settings.kafka), auto_offset_reset="earliest")
    await consumer.start()
    items: dict[str, ReviewItem] = {}
    try:
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        left = {
            part for part, begin in (await consumer.beginning_offsets(parts)).items() if begin < ends[part]
        }
        while left:
            left = {part for part in left if await consumer.position(part) < ends[part]}
            for records in (await consumer.getmany(timeout_ms=_FETCH_MILLISECONDS)).values():
                for record in records:
                    try:
                        item = ReviewItem.model_validate_json(record.value or b"")
                    except ValidationError:
                        continue  # only Downtick writes this topic, so it is somebody else's record
                    items[item.event.id] = item
    finally:
        await consumer.stop()
    return list(items.values())


def _ask(console: Console, question: str) -> Sentiment | None:
    console.print(f"  {question}", style="bold", markup=False, highlight=False)
    while True:
        try:
            key = click.getchar().lower()
        except (KeyboardInterrupt, EOFError) as error:
            raise _QuitError from error
        except OSError as error:
            raise UsageError("labelling needs a terminal, to press keys in") from error
        if key in KEYS or key == _SKIP:
            label = KEYS.get(key)
            console.print(f"    {label or 'skipped'}", highlight=False)
            return label
        if key in {_QUIT, ""}:
            raise _QuitError
        console.print(f"  {_HELP}", style="dim", markup=False, highlight=False)


def _label(console: Console, item: ReviewItem, labels: LabelFile) -> None:
    """Ask about an item and keep what is said, also where the person then quits."""
    event = item.event
    console.print()
    console.print(
        f"{event.time:%Y-%m-%d %H:%M}  {event.source or ''}".rstrip(),
        style="dim",
        markup=False,
        highlight=False,
    )
    console.print(event.text, markup=False, highlight=False)
    sentiment = _ask(console, "the text?")
    entities: dict[str, Sentiment] = {}
    try:
        _ask_of_companies(console, item, entities)
    finally:
        if sentiment or entities:
            labels.add(Label(item, sentiment, entities))
    # Told only now, or it would be the person's label too.
    share = event.sentiment_probabilities[event.sentiment]
    console.print(f"  the model: {event.sentiment} ({share:.2f})", style="dim", highlight=False)


def _ask_of_companies(console: Console, item: ReviewItem, entities: dict[str, Sentiment]) -> None:
    event = item.event
    named = [mention.name for mention in event.entities if places(event.text, names_of(mention))]
    for name in list(dict.fromkeys(named))[:_COMPANIES]:
        towards = _ask(console, f"towards {name}?")
        if towards is not None:
            entities[name] = towards


def label_all(console: Console, items: Iterable[ReviewItem], labels: LabelFile) -> None:
    """Ask about each item that has no label yet, until the person quits."""
    console.print(_HELP, style="dim", markup=False, highlight=False)
    try:
        for item in items:
            if item.event.id not in labels:
                _label(console, item, labels)
    except _QuitError:
        console.print()


@click.command("review")
@click.option(
    "--labels",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("labels.jsonl"),
    show_default=True,
    help="File to add the labels to; what it has already is not asked again.",
)
@config_option
@reports_errors
def command(path: Path, config: Path | None) -> None:
    """Label a sample of the stream's events: some drawn by chance, and some of which the model was unsure.

    `downtick evaluate`, `calibrate` and `train --own-labels` read the file.
    """
    settings = load_settings(config)
    console = Console()
    labels = LabelFile(path)
    items = [item for item in asyncio.run(waiting(settings)) if item.event.id not in labels]
    if not items:
        console.print(f"nothing waits in {settings.topics.review} that has no label yet")
        return
    console.print(f"{len(items):,} events wait", highlight=False)
    # Mixed, so that nobody can tell from the order which ones the model was unsure of.
    random.shuffle(items)
    before = len(labels)
    label_all(console, items, labels)
    added = f"{len(labels) - before} labels added to {path}, {len(labels)} in it"
    console.print(added, markup=False, highlight=False)
    for reason, (right, asked) in labels.agreement().items():
        console.print(f"  the model agreed in {right} of {asked} {reason.value} ones", highlight=False)
