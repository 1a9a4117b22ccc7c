"""The topics that Downtick uses, and `downtick topics create`."""

import asyncio
from pathlib import Path

import click
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from stream.command import config_option, reports_errors
from stream.kafka import BrokerError, admin_client, partition_counts
from stream.settings import Settings, load_settings

_COMPACTED = {"cleanup.policy": "compact"}
_HOUR = 3_600_000
_MEGABYTE = 1024 * 1024


def topic_configurations(settings: Settings) -> dict[str, dict[str, str]]:
    """Each topic's name with what makes its configuration differ from the broker's."""
    topics = settings.topics
    return {
        topics.raw: {},
        topics.dead_letter: {"retention.ms": str(30 * 24 * _HOUR)},
        topics.scored: {},
        topics.review: {"retention.ms": str(90 * 24 * _HOUR)},
        # Read once, soon after: it exists only to bring each subject to its owner, who may be away for a weekend.
        topics.observed: {"retention.ms": str(7 * 24 * _HOUR)},
        # What the watch stage remembers of each subject, and how far it is.
        # Whoever takes a partition over reads all of it, so it is compacted soon. Subjects are forgotten by the
        # times of its rows: those of the broker, since a worker with a wrong clock must not make others forget.
        topics.states: _COMPACTED
        | {
            "segment.bytes": str(64 * _MEGABYTE),
            "max.compaction.lag.ms": str(6 * _HOUR),
            "message.timestamp.type": "LogAppendTime",
        },
        # The newest row of each interval stays, and rows are dropped after a year.
        topics.windows: {"cleanup.policy": "compact,delete", "retention.ms": str(365 * 24 * _HOUR)},
        topics.alerts: _COMPACTED,
    }


async def create_topics(settings: Settings) -> tuple[list[str], list[str]]:
    """Create the topics that are missing; return the names of the new ones and of those that were there."""
    wanted = topic_configurations(settings)
    existing = await partition_counts(settings.kafka, wanted)
    created = []
    async with admin_client(settings.kafka) as admin:
        for name, configuration in wanted.items():
            if name in existing:
                continue
            topic = NewTopic(
                name=name,
                num_partitions=settings.topics.partitions,
                replication_factor=settings.topics.replication,
                topic_configs=configuration,
            )
            try:
                response = await admin.create_topics([topic])
            except KafkaError as error:
                raise BrokerError(f"cannot create the topic {name}: {error}") from error
            code, message = response.topic_errors[0][1], response.topic_errors[0][2]
            if code and for_code(code) is not TopicAlreadyExistsError:
                raise BrokerError(f"cannot create the topic {name}: {message or for_code(code).__name__}")
            # One that exists and is not listed may not be seen: its owner has to allow that.
            if not code:
                created.append(name)
    return created, [name for name in wanted if name not in created]


async def topic_deviations(settings: Settings) -> dict[str, dict[str, str]]:
    """What topics that exist have set otherwise than `create_topics` does, by topic and key.

    Raises `BrokerError` where the broker does not tell.
    """
    wanted = {name: keys for name, keys in topic_configurations(settings).items() if keys}
    existing = await partition_counts(settings.kafka, wanted)
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(wanted[name], "")) for name in existing
    ]
    try:
        async with admin_client(settings.kafka) as admin:
            responses = await admin.describe_configs(resources) if resources else []
    except KafkaError as error:
        raise BrokerError(f"{settings.kafka.brokers} does not tell how topics are set: {error}") from error
    deviations: dict[str, dict[str, str]] = {}
    for response in responses:
        for code, message, _, name, keys in response.resources:
            if code:
                raise BrokerError(f"cannot see how {name} is set: {message or for_code(code).__name__}")
            found = {key[0]: key[1] for key in keys if not _alike(key[1], wanted[name].get(key[0]))}
            deviations |= {name: found} if found else {}
    return deviations


def _alike(value: str, wanted: str | None) -> bool:
    # A broker may write a list in another order.
    return wanted is None or set(value.split(",")) == set(wanted.split(","))


@click.group()
def topics() -> None:
    """The topics that Downtick reads and writes."""


@topics.command()
@config_option
@reports_errors
def create(config: Path | None) -> None:
    """Create the topics that are missing; leave the others as they are."""
    settings = load_settings(config)
    created, existing = asyncio.run(create_topics(settings))
    for name in created:
        click.echo(f"created {name}, {settings.topics.partitions} partitions")
    for name in existing:
        click.echo(f"exists  {name}")
