"""What a person reads in the logs while a broker is away."""

import io
import logging

import pytest

from stream.logs import REPEAT_SECONDS, configure_logging
from stream.settings import LoggingSettings


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The standard error of a worker that logs plain text, and no trace of it in later tests."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers)
    monkeypatch.setattr(root, "level", root.level)
    for name in ("aiokafka", "faust", "mode", "urllib3", "requests_oauthlib", "oauthlib"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.getLogger(name).level)
    errors = io.StringIO()
    monkeypatch.setattr("sys.stderr", errors)
    configure_logging(LoggingSettings(format="text"))
    return errors


def test_what_a_client_says_many_times_of_a_broker_that_is_away_is_told_once_in_a_while(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("stream.logs.monotonic", lambda: now)
    client = logging.getLogger("aiokafka.client")
    for node in range(200):
        client.error("Unable connect to node with id %s", node)
    client.error("Unable to update metadata")
    now += REPEAT_SECONDS
    client.error("Unable connect to node with id %s", 7)
    said = [line.split(": ", 1)[1] for line in lines.getvalue().splitlines()]
    assert said == [
        "Unable connect to node with id 0",
        "Unable to update metadata",
        "Unable connect to node with id 7 (and 199 more like it)",
    ]


def test_what_a_stage_says_is_told_each_time(lines: io.StringIO) -> None:
    for _ in range(3):
        logging.getLogger("stream.watch.stage").error("cannot read a record")
    assert lines.getvalue().count("cannot read a record") == 3
