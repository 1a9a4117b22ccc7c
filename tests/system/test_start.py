"""A worker that cannot work says why in one message and ends with a status."""

import shutil
import socket
from pathlib import Path

import pytest
from processes import KafkaBroker, SystemUnderTest

from stream.bundle import MODEL, Bundle


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
