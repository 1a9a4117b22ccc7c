"""Real brokers and real worker processes for the tests of the whole."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import KAFKA_START, KafkaBroker, KafkaNode, SystemUnderTest

from stream.broker import EmbeddedBroker


@pytest.fixture
def embedded_broker() -> Iterator[KafkaBroker]:
    """The embedded broker, empty."""
    with EmbeddedBroker() as broker:
        yield KafkaBroker(broker.address, idempotence=False)


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """Apache Kafka: the cluster that DOWNTICK_TEST_KAFKA names, else one started for the tests."""
    named = os.environ.get("DOWNTICK_TEST_KAFKA")
    if named:
        yield KafkaBroker(named, idempotence=True)
        return
    require_kafka("name a cluster with DOWNTICK_TEST_KAFKA=host:port")
    with KafkaNode(tmp_path_factory.mktemp("kafka")) as node:
        yield node.broker


@pytest.fixture
def kafka_node(tmp_path: Path) -> Iterator[KafkaNode]:
    """An Apache Kafka of the test's own, that may be killed and started again."""
    require_kafka("a cluster that DOWNTICK_TEST_KAFKA names is not the test's to kill")
    with KafkaNode(tmp_path / "kafka") as node:
        yield node


def require_kafka(hint: str) -> None:
    """Skip where no Apache Kafka can be started; `hint` says what a cluster elsewhere is good for."""
    if not KAFKA_START.exists() or not shutil.which("java"):
        pytest.skip(f"cannot start Apache Kafka without {KAFKA_START} and java: {hint}")


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> KafkaBroker:
    """Each broker in turn."""
    found: KafkaBroker = request.getfixturevalue(
        "embedded_broker" if request.param == "embedded" else "apache_kafka"
    )
    return found


@pytest.fixture
def system(broker: KafkaBroker, tmp_path: Path) -> Iterator[SystemUnderTest]:
    """Topics of its own on the broker, and the means to start workers and read what they write."""
    with SystemUnderTest(broker, tmp_path) as under_test:
        yield under_test
