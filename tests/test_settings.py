"""Settings from a file and from variables, and what is said when they are wrong."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from stream.settings import SettingsError, load_settings
from stream.spikes.settings import SpikeSettings


@pytest.fixture(autouse=True)
def _no_variables_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith("DOWNTICK_") and not name.upper().startswith("DOWNTICK_TEST_"):
            monkeypatch.delenv(name)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "downtick.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_file_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings.kafka.brokers == "localhost:9092"
    assert settings.bundle.name == "default"


def test_a_variable_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "kafka: {brokers: 'file:1', idempotence: false}")
    monkeypatch.setenv("DOWNTICK_KAFKA__BROKERS", "variable:2")
    settings = load_settings(file)
    assert settings.kafka.brokers == "variable:2"
    assert settings.kafka.idempotence is False


@pytest.mark.parametrize("number", ["inf", "nan"])
@pytest.mark.parametrize(
    "setting", ["KAFKA__REQUEST_TIMEOUT_SECONDS", "SCORE__STALL_SECONDS", "BUNDLE_CHECK_SECONDS"]
)
def test_a_number_that_no_clock_reaches_is_refused(
    monkeypatch: pytest.MonkeyPatch, setting: str, number: str
) -> None:
    monkeypatch.setenv(f"DOWNTICK_{setting}", number)
    with pytest.raises(SettingsError, match=f"(?i){setting.replace('__', '.')}: .*finite number"):
        load_settings()


def test_the_file_is_found_by_a_variable_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNTICK_CONFIG", str(written(tmp_path, "web: {port: 1234}")))
    assert load_settings().web.port == 1234


def test_paths_in_a_file_are_relative_to_the_file(tmp_path: Path) -> None:
    lines = ["bundle: models/mine", "watchlist: /etc/mine.yaml", "kafka: {ssl_ca_file: ca.pem}"]
    settings = load_settings(written(tmp_path, "\n".join([*lines, "watch: {state_directory: state}"])))
    assert settings.bundle == tmp_path / "models" / "mine"
    assert settings.watchlist == Path("/etc/mine.yaml")
    assert settings.kafka.ssl_ca_file == tmp_path / "ca.pem"
    assert settings.watch.state_directory == tmp_path / "state"
    assert settings.kafka.ssl_key_file is None


@pytest.mark.parametrize(
    ("windows", "interval", "fitting"),
    [
        ((600, 3600, 21600), 300, 600),
        ((600, 3600, 21600), 450, 600),
        ((600, 7200), 150, 180),
        ((600, 2700), 60, 120),
        ((86400,), 900, 1800),
    ],
)
def test_intervals_that_cannot_hold_the_windows_are_refused_with_some_that_can(
    windows: tuple[int, ...], interval: int, fitting: int
) -> None:
    with pytest.raises(ValidationError, match=f"such as {fitting}"):
        SpikeSettings(windows_seconds=windows, interval_seconds=interval)
    assert SpikeSettings(windows_seconds=windows, interval_seconds=fitting).interval_seconds == fitting


def test_every_wrong_key_is_named_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "topics: {partitions: many}\nspikes: {windows_seconds: [60, 61]}\ncolour: red")
    monkeypatch.setenv("DOWNTICK_WEBB__PORT", "1")
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    message = str(error.value)
    for name in ("topics.partitions", "spikes.windows_seconds", "colour", "DOWNTICK_WEBB__PORT", str(file)):
        assert name in message


@pytest.mark.parametrize(
    "variable",
    [
        "DOWNTICK_CONFIG_FILE",
        "downtick_config",
        "DOWNTICK_BUNDLE__CHECK_SECONDS",
        "DOWNTICK_BUNDLE_CHECK_SECONDS__X",
        "DOWNTICK_WATCHLIST__FILE",
        "DOWNTICK_RULES__X",
    ],
)
def test_a_variable_that_only_begins_like_a_setting_is_named(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError, match=f"{variable}: no such setting"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "key"),
    [("DOWNTICK_KAFKA__BROKERS__X", "kafka.brokers"), ("DOWNTICK_WEB__PORTS", "web.ports")],
)
def test_a_variable_that_is_no_part_of_its_section_is_named(
    variable: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError, match=f"{key}: "):
        load_settings()


def test_the_variables_of_tests_and_of_the_training_are_none_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOWNTICK_TRAINING_DATA", "/data")
    monkeypatch.setenv("DOWNTICK_TEST_KAFKA", "localhost:9092")
    assert load_settings().bundle.name == "default"


def test_a_variable_that_should_be_json_is_named_with_the_other_wrong_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOWNTICK_SPIKES__WINDOWS_SECONDS", "600,3600")
    monkeypatch.setenv("DOWNTICK_WEB__PORT", "x")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert "spikes.windows_seconds" in str(error.value)
    assert "as JSON, such as [600, 3600] (got '600,3600')" in str(error.value)
    assert "web.port" in str(error.value)
    monkeypatch.setenv("DOWNTICK_SPIKES__WINDOWS_SECONDS", "[600, 3600]")
    monkeypatch.delenv("DOWNTICK_WEB__PORT")
    assert load_settings().spikes.windows_seconds == (600, 3600)


def test_a_password_is_not_shown_in_a_section_that_is_not_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNTICK_KAFKA", '{"sasl_password": "hunter2"')
    with pytest.raises(SettingsError, match="kafka: ") as error:
        load_settings()
    assert "hunter2" not in str(error.value)


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    file = written(tmp_path, "kafka: {security_protocol: SASL_SSL, sasl_password: hunter2, brokers: 7}")
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert "hunter2" not in str(error.value)
    settings = load_settings(
        written(tmp_path, "kafka: {security_protocol: SASL_SSL, sasl_username: app, sasl_password: hunter2}")
    )
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    "brokers", ["kafka-1:9092, kafka-2.example.org:9093", "localhost", "10.0.0.7:9092", "[::1]:9092"]
)
def test_addresses_of_brokers_are_taken(brokers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNTICK_KAFKA__BROKERS", brokers)
    assert load_settings().kafka.brokers == brokers


@pytest.mark.parametrize(
    "brokers", ['["k1:9092","k2:9092"]', "host:port", "host:9092/x", "kafka..svc:9092", ""]
)
def test_what_is_no_address_of_a_broker_is_named(brokers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNTICK_KAFKA__BROKERS", brokers)
    with pytest.raises(SettingsError, match="is no address; write some like kafka-1:9092,kafka-2:9092"):
        load_settings()


@pytest.mark.parametrize("text", ["a: [", "just words", "- a\n- b"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"downtick\.yaml"):
        load_settings(written(tmp_path, text))


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(tmp_path / "absent.yaml")


def test_two_topics_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is scored would be read as news again, and so on for ever."""
    monkeypatch.setenv("DOWNTICK_TOPICS__SCORED", "news.raw")
    with pytest.raises(SettingsError, match=r"raw and scored are both news\.raw: each"):
        load_settings()


def test_two_stages_of_one_group_are_refused_without_showing_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker would deal the partitions of one stage to workers of the other."""
    monkeypatch.setenv("DOWNTICK_WATCH__GROUP", "downtick-score")
    monkeypatch.setenv("DOWNTICK_KAFKA__SASL_PASSWORD", "a secret")
    with pytest.raises(
        SettingsError, match=r"score\.group and watch\.group are both downtick-score"
    ) as refused:
        load_settings()
    assert "a secret" not in str(refused.value)
