"""The Faust app: how it reads, what it leaves to the watch stage, and how it signs in."""

from pathlib import Path

import faust
from faust.types.auth import CredentialsArg

from stream.kafka import ssl_context
from stream.settings import KafkaSettings, Settings


def faust_app(settings: Settings) -> faust.App:
    """The app of the watch stage: it has no tables and makes no topics."""
    kafka = settings.kafka
    addresses = [address.strip() for address in kafka.brokers.split(",")]
    return faust.App(
        settings.watch.group,
        broker=[f"kafka://{address}" for address in addresses],
        broker_credentials=_credentials(kafka),
        broker_session_timeout=kafka.session_timeout_seconds,
        broker_heartbeat_interval=kafka.session_timeout_seconds / 5,
        broker_request_timeout=answer_seconds(kafka),
        broker_commit_interval=1.0,
        # A full buffer with the usual limit deadlocks the worker.
        broker_max_poll_interval=1000.0,
        consumer_auto_offset_reset="earliest",
        producer_compression_type=None if kafka.compression == "none" else kafka.compression,
        # Decoding is left to the agent, where what cannot be read does not stop it.
        key_serializer="raw",
        value_serializer="raw",
        topic_disable_leader=True,
        store="memory://",
        datadir=str(Path(settings.watch.state_directory)),
        web_enabled=False,
        stream_wait_empty=False,
        autodiscover=False,
    )


def answer_seconds(settings: KafkaSettings) -> float:
    """How long the group's requests, heartbeats too, may wait for the broker's answer."""
    return max(settings.request_timeout_seconds, settings.session_timeout_seconds)


def _credentials(settings: KafkaSettings) -> CredentialsArg | None:
    context = ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        password = settings.sasl_password
        return faust.SASLCredentials(
            username=settings.sasl_username,
            password=password.get_secret_value() if password else None,
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None
