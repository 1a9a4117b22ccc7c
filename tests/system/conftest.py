"""Real brokers and real worker processes for the tests of the whole."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import KafkaBroker, SystemUnderTest

from stream.broker import EmbeddedBroker, free_port

KAFKA_START = Path(__file__).parents[3] / "shared" / "kafka" / "kafka-start"


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
    if not KAFKA_START.exists() or not shutil.which("java"):
        pytest.skip("no Apache Kafka: name a cluster with DOWNTICK_TEST_KAFKA=host:port")
    folder, port = tmp_path_factory.mktemp("kafka"), free_port()
    with (folder / "kafka.log").open("wb") as log:
        process = subprocess.Popen([str(KAFKA_START), str(folder), str(port)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while b"Kafka Server started" not in (folder / "kafka.log").read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"Apache Kafka did not start: {(folder / 'kafka.log').read_text()[-2000:]}")
            time.sleep(0.2)
        yield KafkaBroker(f"127.0.0.1:{port}", idempotence=True)
    finally:
        process.terminate()
        process.wait(30)


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
