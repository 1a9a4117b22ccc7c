"""Which targets there are, and what is said of those that cannot be."""

import sys

import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from receiver import receiving

from stream.cli import main
from stream.doctor import examine
from stream.notify.message import Message
from stream.notify.targets import open_targets
from stream.settings import SettingsError, load_settings

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


def test_a_url_of_no_use_is_named_by_its_number_and_its_secrets_are_not_told() -> None:
    with pytest.raises(SettingsError) as caught:
        open_targets([SecretStr("json://127.0.0.1"), SecretStr("slack://hunter2")])
    assert "number 2 (slack://…)" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_url_of_the_wrong_type_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNTICK_NOTIFY__URLS", "slack://hunter2")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "notify.urls" in str(caught.value)
    assert "hunter2" not in str(caught.value)


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


def test_a_test_message_tells_of_each_target_whether_it_took_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("DOWNTICK_NOTIFY__URLS", f'["{receiver.url}", "json://127.0.0.1:9"]')
        result = CliRunner().invoke(main, ["alerts", "test"])
    assert result.exit_code == 1
    assert [line[0] for line in result.output.splitlines()] == ["✓", "✗"]
    assert receiver.titles == ["Downtick: a test"]
