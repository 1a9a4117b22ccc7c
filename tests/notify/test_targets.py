"""Which targets there are, and what is said of those that cannot be."""

import asyncio
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from receiver import receiving

from stream.cli import main
from stream.doctor import examine
from stream.logs import configure_logging
from stream.notify import targets
from stream.notify.message import Message
from stream.notify.targets import open_targets
from stream.settings import LoggingSettings, SettingsError, load_settings

MESSAGE = Message("a title", "a body", "warning")


async def test_a_target_says_whether_it_took_a_message() -> None:
    with receiving() as receiver:
        (target,) = open_targets([SecretStr(receiver.url)])
        assert await target.tell(MESSAGE)
        receiver.open = False
        assert not await target.tell(MESSAGE)
        assert receiver.titles == ["a title"]


async def test_a_target_that_is_away_took_nothing() -> None:
    (target,) = open_targets([SecretStr("json://127.0.0.1:9")])
    assert not await target.tell(MESSAGE)


async def test_a_service_that_fails_or_never_answers_took_nothing_and_what_it_says_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (target,) = open_targets([SecretStr("json://127.0.0.1")])

    async def fails(**_: object) -> bool:
        raise RuntimeError("hunter2")

    async def hangs(**_: object) -> bool:
        await asyncio.sleep(60)
        return True

    monkeypatch.setattr(targets, "ATTEMPT_SECONDS", 0.01)
    for service in (fails, hangs):
        monkeypatch.setattr(target, "_service", SimpleNamespace(async_notify=service))
        assert not await target.tell(MESSAGE)
    assert [record.getMessage() for record in caplog.records] == [
        "JSON (notify.urls number 1) failed: RuntimeError",
        "JSON (notify.urls number 1) does not answer",
    ]


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("slack://hunter2", "number 2 (slack://…) is"),
        ("slack//hunter2", "number 2 is"),
        ("hunter2", "number 2 is"),
    ],
)
def test_a_url_of_no_use_is_named_by_its_number_and_its_secrets_are_not_told(url: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_targets([SecretStr("json://127.0.0.1"), SecretStr(url)])
    assert named in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_url_of_the_wrong_type_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNTICK_NOTIFY__URLS", "slack://hunter2")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "notify.urls" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("line", ["urls: [slack://hunter2]", "web: {urls: [slack://hunter2]}"])
def test_urls_in_the_wrong_place_are_named_and_not_shown(line: str, tmp_path: Path) -> None:
    file = tmp_path / "downtick.yaml"
    file.write_text(line)
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    assert "urls" in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_no_level_of_logs_tells_of_the_requests_with_their_urls(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "level", logging.NOTSET)
    configure_logging(LoggingSettings(level="debug"))
    logging.getLogger().addHandler(caplog.handler)
    with receiving() as receiver:
        (target,) = open_targets([SecretStr(f"{receiver.url}/hunter2")])
        assert await target.tell(MESSAGE)
    assert "hunter2" not in caplog.text


def test_without_a_url_there_is_nobody_to_tell() -> None:
    with pytest.raises(SettingsError, match=r"notify\.urls is empty"):
        open_targets([])


def test_without_apprise_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(SettingsError, match=r"pip install '\.\[notify\]'"):
        open_targets([SecretStr("json://127.0.0.1")])


def test_the_doctor_names_the_targets_and_not_their_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNTICK_NOTIFY__URLS", '["json://user:hunter2@127.0.0.1"]')
    found = next(finding for finding in examine(load_settings()) if finding.check == "targets")
    assert found.works
    assert "JSON (notify.urls number 1)" in found.detail
    assert "hunter2" not in found.detail


def test_a_test_message_tells_of_each_target_whether_it_took_it_and_why_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "level", logging.NOTSET)
    with receiving() as receiver:
        monkeypatch.setenv("DOWNTICK_NOTIFY__URLS", f'["{receiver.url}", "json://127.0.0.1:9"]')
        result = CliRunner().invoke(main, ["alerts", "test"])
    assert result.exit_code == 1
    assert [line[0] for line in result.stdout.splitlines()] == ["✓", "✗"]
    assert "Connection error" in result.stderr
    assert receiver.titles == ["Downtick: a test"]
