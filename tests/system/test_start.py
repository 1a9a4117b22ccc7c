"""A worker that cannot work says why in one message and ends with a status."""

import asyncio
import shutil
import socket
import time
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic
from processes import PARTITIONS, KafkaBroker, SystemUnderTest

from stream.bundle import MODEL, Bundle
from stream.doctor import _retention
from stream.kafka import BrokerError, admin_client, partition_counts
from stream.settings import KafkaSettings, Settings


@pytest.fixture
def system(embedded_broker: KafkaBroker, tmp_path: Path, tiny_bundle: Bundle) -> SystemUnderTest:
    """On the embedded broker alone: what is tested here comes before any record."""
    under_test = SystemUnderTest(embedded_broker, tmp_path).__enter__()
    under_test.variables["DOWNTICK_BUNDLE"] = str(tiny_bundle.folder)
    return under_test


def refused(system: SystemUnderTest, *arguments: str) -> str:
    output = system.run("worker", *arguments, status=2)
    assert "Traceback" not in output
    assert len(output.strip().splitlines()) < 5
    return output


def test_a_missing_bundle_is_named(system: SystemUnderTest) -> None:
    system.variables["DOWNTICK_BUNDLE"] = "/nowhere/at/all"
    assert "/nowhere/at/all" in refused(system)


def test_a_tampered_bundle_is_refused(system: SystemUnderTest, tiny_bundle: Bundle, tmp_path: Path) -> None:
    copy = tmp_path / "tampered"
    shutil.copytree(tiny_bundle.folder, copy)
    with (copy / MODEL).open("ab") as model:
        model.write(b"\0")
    system.variables["DOWNTICK_BUNDLE"] = str(copy)
    output = refused(system)
    assert "model.onnx" in output
    assert "checksum" in output


def test_a_broker_that_does_not_answer_is_named(system: SystemUnderTest) -> None:
    system.variables["DOWNTICK_KAFKA__BROKERS"] = "127.0.0.1:9"
    system.variables["DOWNTICK_KAFKA__CONNECT_TIMEOUT_SECONDS"] = "1"
    assert "127.0.0.1:9" in refused(system)


def test_missing_topics_are_named_with_the_command_that_makes_them(system: SystemUnderTest) -> None:
    system.variables["DOWNTICK_TOPICS__RAW"] = "absent.topic"
    output = refused(system)
    assert "absent.topic" in output
    assert "downtick topics create" in output


def test_a_folder_that_cannot_be_made_is_named(system: SystemUnderTest) -> None:
    system.variables["DOWNTICK_WATCH__STATE_DIRECTORY"] = "/dev/null/state"
    assert "cannot write to /dev/null/state" in refused(system)


def test_a_wrong_setting_is_named(system: SystemUnderTest) -> None:
    system.variables["DOWNTICK_ENGINE__PROVIDER"] = "abacus"
    assert "engine.provider" in refused(system)


def test_a_port_that_is_taken_is_named(system: SystemUnderTest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        system.variables["DOWNTICK_WEB__PORT"] = str(port)
        assert str(port) in refused(system)


def test_the_doctor_says_what_works_and_what_does_not(system: SystemUnderTest) -> None:
    assert "✗" not in system.run("doctor")
    system.variables["DOWNTICK_TOPICS__ALERTS"] = "absent.topic"
    system.variables["DOWNTICK_BUNDLE"] = "/nowhere/at/all"
    output = system.run("doctor", status=1)
    assert "✗ topics" in output
    assert "✗ bundle" in output
    assert "✓ broker" in output


@pytest.mark.kafka
def test_topics_that_somebody_made_otherwise_are_named(apache_kafka: KafkaBroker, tmp_path: Path) -> None:
    async def create(topic: NewTopic) -> None:
        async with admin_client(kafka) as admin:
            await admin.create_topics([topic])

    def make(name: str, key: str, value: str) -> None:
        asyncio.run(create(NewTopic(name, PARTITIONS, 1, topic_configs={key: value})))
        while not asyncio.run(partition_counts(kafka, [name])):
            time.sleep(0.1)

    kafka = KafkaSettings(brokers=apache_kafka.address)
    topics = SystemUnderTest(apache_kafka, tmp_path).__enter__().settings.topics
    assert _retention(Settings(kafka=kafka, topics=topics)).startswith("each topic keeps its records")
    make("brief.observed", "retention.ms", "3600000")
    topics = topics.model_copy(update={"observed": "brief.observed"})
    told = "brief.observed has retention.ms 3600000, not 604800000"
    assert _retention(Settings(kafka=kafka, topics=topics)) == told
    make("brief.states", "cleanup.policy", "delete")
    topics = topics.model_copy(update={"states": "brief.states"})
    with pytest.raises(BrokerError, match=r"brief\.states has cleanup\.policy delete, not compact.*deleted"):
        _retention(Settings(kafka=kafka, topics=topics))


def test_a_broker_that_does_not_tell_how_topics_are_set_is_no_fault(system: SystemUnderTest) -> None:
    settings = system.settings.model_copy(update={"kafka": KafkaSettings(brokers=system.broker.address)})
    assert _retention(settings).startswith("not checked: ")
