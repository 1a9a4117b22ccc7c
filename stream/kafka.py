"""How Downtick talks to the broker: client options, reachability, the facts about a topic.

Errors:
    BrokerError     the broker cannot be reached, refuses the credentials, or lacks a topic
    StallError      records wait, and none is handled
    FencedError     others may have taken over from this process
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream.settings import KafkaSettings

MAXIMUM_REQUEST_BYTES = 8 * 1024 * 1024
"""Above the broker's own limit on a record by far; it only keeps batches from growing without bound."""

SEND_TIMEOUT_MILLISECONDS = 120_000
"""How long one request may take. An idempotent producer, the default, sends again for ever; whoever waits for it
ends by limits of their own."""


class BrokerError(Exception):
    """The broker is not as needed; the message says what is wrong and what to do."""


class FencedError(Exception):
    """Others may own what this process still holds: where it cannot let go of it, it ends and flushes nothing."""


class StallError(Exception):
    """Records wait, but nothing moves: the process ends, so that its supervisor starts it afresh."""


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """The TLS context that the settings ask for, or None for a plain connection."""
    if "SSL" not in settings.security_protocol:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ssl_ca_file)
        if settings.ssl_certificate_file:
            context.load_cert_chain(settings.ssl_certificate_file, settings.ssl_key_file)
    except (OSError, ssl.SSLError) as error:
        raise BrokerError(f"kafka: cannot load the TLS certificates: {error}") from error
    return context


def _addresses(settings: KafkaSettings) -> list[str]:
    return [address.strip() for address in settings.brokers.split(",")]


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Arguments that every aiokafka client takes."""
    options: dict[str, Any] = {
        "bootstrap_servers": _addresses(settings),
        "security_protocol": settings.security_protocol,
        "ssl_context": ssl_context(settings),
        "request_timeout_ms": int(settings.request_timeout_seconds * 1000),
    }
    if settings.security_protocol.startswith("SASL"):
        password = settings.sasl_password
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
    return options


def new_producer(settings: KafkaSettings) -> AIOKafkaProducer:
    """A producer whose records stay in order; it must be started."""
    options = client_options(settings) | {"request_timeout_ms": SEND_TIMEOUT_MILLISECONDS}
    return AIOKafkaProducer(
        **options,
        acks="all",
        enable_idempotence=settings.idempotence,
        compression_type=None if settings.compression == "none" else settings.compression,
        max_request_size=MAXIMUM_REQUEST_BYTES,
        linger_ms=2,
    )


@asynccontextmanager
async def admin_client(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client, connected within the start's time limit; `BrokerError` where none can be."""
    # One address is tried after the other: a host that does not answer must leave time for the next ones.
    each = max(1.0, settings.connect_timeout_seconds / (2 * len(_addresses(settings))))
    timeout = {"request_timeout_ms": int(1000 * min(each, settings.request_timeout_seconds))}
    admin = AIOKafkaAdminClient(**client_options(settings) | timeout)
    # The library logs each failed attempt as an error of its own; one message is enough.
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        deadline = asyncio.get_running_loop().time() + settings.connect_timeout_seconds
        while True:
            try:
                remaining = deadline - asyncio.get_running_loop().time()
                await asyncio.wait_for(admin.start(), max(remaining, 0.1))
                break
            except (KafkaError, OSError, TimeoutError) as error:
                if asyncio.get_running_loop().time() + 0.5 >= deadline:
                    raise BrokerError(
                        f"cannot reach Kafka at {settings.brokers} ({_describe(error)}); "
                        "is the broker running, and are `kafka.brokers` and its credentials right?"
                    ) from error
                await asyncio.sleep(0.5)
        logger.setLevel(level)
        yield admin
    finally:
        logger.setLevel(level)
        await admin.close()


async def partition_counts(settings: KafkaSettings, topics: Iterable[str]) -> dict[str, int]:
    """How many partitions each of the topics has; those that do not exist are left out."""
    wanted = set(topics)
    async with admin_client(settings) as admin:
        existing = set(await admin.list_topics())
        described = await admin.describe_topics(sorted(wanted & existing)) if wanted & existing else []
    return {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}


async def require_topics(settings: KafkaSettings, topics: Iterable[str]) -> dict[str, int]:
    """Like `partition_counts`, but a topic that is missing is a `BrokerError`."""
    wanted = list(topics)
    counts = await partition_counts(settings, wanted)
    missing = [topic for topic in wanted if topic not in counts]
    if missing:
        raise BrokerError(
            f"the broker at {settings.brokers} has no topic {', '.join(missing)}; "
            "make them with `downtick topics create`"
        )
    return counts


def _describe(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


class Moves(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Says when a group's partitions move: `leave` before they are given up, `begin` with all that are here."""

    def __init__(
        self,
        leave: Callable[[], Awaitable[None]],
        begin: Callable[[Sequence[TopicPartition]], Awaitable[None]],
    ) -> None:
        self._leave = leave
        self._begin = begin

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:  # noqa: ARG002
        """Before the group is divided anew."""
        await self._leave()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """After it was."""
        await self._begin(list(assigned))
