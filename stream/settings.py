"""All settings, in one typed place: a YAML file, overridden by `DOWNTICK_*` variables.

`DOWNTICK_KAFKA__BROKERS=kafka:9092` sets `kafka.brokers`; lists and mappings are written as JSON.

Errors:
    SettingsError   one message that names every wrong key and what is wrong with it
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeGuard, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from stream.bundle import default_bundle
from stream.spikes.settings import SpikeSettings
from stream.yaml_file import read_yaml

PREFIX = "DOWNTICK_"
CONFIG_VARIABLE = "DOWNTICK_CONFIG"
# What pydantic calls a text where it wants a list or a mapping.
_NOT_JSON = {"list_type", "tuple_type", "dict_type", "model_type"}
# Variables with these prefixes are no settings: tests and the training use them.
_OTHER_PREFIXES = ("DOWNTICK_TEST_", "DOWNTICK_TRAINING_")

TopicName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,200}$")]
_ADDRESS = re.compile(r"([\w-]+(\.[\w-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
Port = Annotated[int, Field(ge=0, le=65_535)]


class SettingsError(Exception):
    """Settings that cannot be used; the message names every key that is wrong."""


class Section(BaseModel):
    """A part of the settings; an unknown key in it is an error, since it is most often a typing error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _addresses(value: str) -> str:
    for address in value.split(","):
        if not _ADDRESS.fullmatch(address.strip()):
            raise ValueError(f"{address.strip()!r} is no address; write some like kafka-1:9092,kafka-2:9092")
    return value


class KafkaSettings(Section):
    """How to reach the broker."""

    brokers: Annotated[str, AfterValidator(_addresses)] = "localhost:9092"
    """Addresses of some brokers, separated by commas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_file: Path | None = None
    """Certificates to trust; without it, those of the system."""
    ssl_certificate_file: Path | None = None
    ssl_key_file: Path | None = None
    idempotence: bool = True
    """Let the broker drop what a producer sends twice; turn off for brokers that cannot."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "lz4"
    session_timeout_seconds: float = Field(default=10, ge=1, le=300)
    """How soon a worker that died loses its partitions to the others."""
    request_timeout_seconds: float = Field(default=30, ge=1)
    connect_timeout_seconds: float = Field(default=15, ge=1)
    """How long a start waits for the broker before it gives up."""

    @model_validator(mode="after")
    def _sasl_has_credentials(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and self.sasl_password):
            raise ValueError("SASL needs sasl_username and sasl_password")
        return self


def _shared(names: dict[str, str]) -> str | None:
    """Which of these have one name, in words; None where each has its own."""
    for name in names.values():
        kinds = [kind for kind, other in names.items() if other == name]
        if len(kinds) > 1:
            return f"{' and '.join(kinds)} are both {name}"
    return None


class TopicSettings(Section):
    """Names and shape of the topics."""

    raw: TopicName = "news.raw"
    dead_letter: TopicName = "news.dead-letter"
    scored: TopicName = "news.scored"
    review: TopicName = "news.review"
    observed: TopicName = "sentiment.observed"
    states: TopicName = "sentiment.states"
    windows: TopicName = "sentiment.windows"
    alerts: TopicName = "sentiment.alerts"
    partitions: int = Field(default=8, ge=1, le=10_000)
    """Partitions of the topics that `downtick topics create` makes: the most workers that can share a stage."""
    replication: int = Field(default=1, ge=1, le=10)
    epoch: int = Field(default=0, ge=0)
    """Raise it by one when the raw topic was deleted and made anew: its offsets start again at 0,
    and without a new epoch they would be taken for repeats."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        shared = _shared({kind: name for kind, name in self if isinstance(name, str)})
        if shared:
            raise ValueError(f"{shared}: each needs a topic of its own")
        return self

    @property
    def source(self) -> str:
        """The raw topic's name as part of a position."""
        return f"{self.raw}@{self.epoch}" if self.epoch else self.raw


ProviderSetting = Literal["auto", "cpu", "cuda"]


class EngineSettings(Section):
    """How the model runs."""

    provider: ProviderSetting = "auto"
    """`auto` takes CUDA where it works and the CPU where it does not."""
    require_provider: bool = False
    """With `provider: cuda`, refuse to start where the session fell back to the CPU."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads; without it, what the process may use by its affinity and its cgroup."""
    batch_tokens: int = Field(default=4096, ge=64)
    """Most tokens in a batch, padding counted."""
    batch_texts: int = Field(default=128, ge=1, le=4096)
    """Most texts in a batch."""
    cache_texts: int = Field(default=20_000, ge=0)
    """How many results are kept, so that a repost is scored once."""
    passages: int = Field(default=8, ge=0, le=100)
    """Most passages of a text that are judged for companies which it names only behind what the model reads of it;
    companies named behind these, with 0 all, have the sentiment of the text."""


class ScoreSettings(Section):
    """The score stage."""

    group: str = Field(default="downtick-score", min_length=1)
    start_at: Literal["earliest", "latest"] = "earliest"
    """Where a group that has never committed begins. With `latest` start a single worker first: what another finds
    committed by it tells that the group is not new, and it begins its own partitions at their beginning."""
    window_events: int = Field(default=256, ge=1, le=100_000)
    """Most events that are scored and published together."""
    maximum_event_bytes: int = Field(default=8_000_000, ge=1_000)
    """A larger record goes to the dead-letter topic unread."""
    future_seconds: float = Field(default=300, ge=0, le=86_400)
    """An event dated further ahead of the wall clock than this is counted at the stream's own time."""
    stall_seconds: float = Field(default=120, ge=5)
    """With events waiting and no progress for so long, the worker ends with an error, to be restarted."""


class ReviewSettings(Section):
    """Which events are put aside for `downtick review`."""

    random_share: float = Field(default=0.001, ge=0, le=1)
    """Share of all events."""
    uncertain_share: float = Field(default=0.02, ge=0, le=1)
    """Share of the events that the model is unsure of."""
    uncertain_below: float = Field(default=0.6, ge=0, le=1)
    """It is unsure where a label that it gives, to the text or to a company, is less probable than this."""

    @property
    def draws(self) -> bool:
        """Whether any event is put aside."""
        return self.random_share > 0 or self.uncertain_share > 0


class WatchSettings(Section):
    """The watch stage."""

    group: str = Field(default="downtick-watch", min_length=1)
    tick_seconds: float = Field(default=1.0, gt=0, le=60)
    """How often quiet subjects are looked at and the trend is published, but at most once in five seconds of event
    time."""
    stall_seconds: float = Field(default=120, ge=5)
    """With observations waiting and no progress for so long, the worker ends with an error."""
    forget_after_days: float = Field(default=180, ge=30)
    """For how long a subject of which nothing comes is remembered; longer than `sentiment.observed` is kept."""
    explained_events: int = Field(default=3, ge=0, le=10)
    """Of how many of an alert's worst events the words behind the score are told; 0 needs no model here."""
    state_directory: Path = Path(".downtick")
    """Faust's own files; the state itself lives in Kafka."""


class NotifySettings(Section):
    """The notify stage."""

    group: str = Field(default="downtick-notify", min_length=1)
    """Begins the name of each target's group."""
    urls: list[SecretStr] = Field(default_factory=list)
    """Where alerts are told, as URLs of Apprise: `slack://…`, `dingtalk://…`, `mailto://…`, `json://…`."""
    retry_seconds: float = Field(default=900, ge=1, le=86_400)
    """A target that takes no message is tried for so long, while the next alerts wait; then it goes without."""


class WebSettings(Section):
    """Metrics and health."""

    host: str = "0.0.0.0"  # noqa: S104  # Prometheus and the orchestrator's probes come from outside
    port: Port = 9108
    """0 takes a free port, which the log names."""


class LoggingSettings(Section):
    """Logs."""

    format: Literal["json", "text"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


class _Variables(EnvSettingsSource):
    """The variables; what should be JSON and is not is left as it is, to be named with the other wrong keys."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class Settings(BaseSettings):
    """Everything that a user may set."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, env_prefix=PREFIX, env_nested_delimiter="__"
    )

    bundle: Path = Field(default_factory=default_bundle)
    """The model bundle's folder; without it, the one that ships with Downtick."""
    bundle_check_seconds: float = Field(default=10, ge=0)
    """How often a worker looks whether another bundle lies there, to put it in place of its own; 0: never."""
    watchlist: Path | None = None
    """YAML file of the companies to find in texts."""
    rules: Path | None = None
    """YAML file of what a desk wants on top: see `stream/rules.py`."""
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    engine: EngineSettings = EngineSettings()
    score: ScoreSettings = ScoreSettings()
    review: ReviewSettings = ReviewSettings()
    watch: WatchSettings = WatchSettings()
    notify: NotifySettings = NotifySettings()
    spikes: SpikeSettings = SpikeSettings()
    web: WebSettings = WebSettings()
    logging: LoggingSettings = LoggingSettings()

    @model_validator(mode="after")
    def _groups_differ(self) -> Self:
        # The broker would deal one stage's partitions to the other's workers, which do not read that topic.
        groups = {"score.group": self.score.group, "watch.group": self.watch.group}
        shared = _shared(groups | {"notify.group": self.notify.group})
        if shared:
            raise ValueError(f"{shared}: each stage needs a group of its own")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The variables come before the file, whose values arrive as arguments."""
        return _Variables(settings_cls), init_settings


def _read_yaml(file: Path) -> dict[str, Any]:
    content = read_yaml(file, SettingsError, "the settings file")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"the settings file {file} must hold keys and values")
    return content


def given_variables() -> list[str]:
    """The names of the variables that are set and taken for settings, right or wrong ones."""
    return sorted(
        name
        for name in os.environ
        if name.upper().startswith(PREFIX)
        and not name.upper().startswith(_OTHER_PREFIXES)
        and name != CONFIG_VARIABLE
    )


def _unknown_variables() -> list[str]:
    return [f"  {name}: no such setting" for name in given_variables() if not _begins_with_a_setting(name)]


def _begins_with_a_setting(variable: str) -> bool:
    """Whether the first part of a variable's name is a setting, and a section where more parts follow."""
    first, *rest = variable.lower().removeprefix(PREFIX.lower()).split("__")
    field = Settings.model_fields.get(first)
    # Pydantic names what is wrong within a section; behind any other setting it drops the parts in silence.
    return field is not None and (not rest or _is_section(field.annotation))


def _is_section(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _anchor(values: dict[str, Any], model: type[BaseModel], folder: Path) -> None:
    """Make the relative paths among the values of a model, and of its sections, relative to `folder`."""
    for name, field in model.model_fields.items():
        value, kind = values.get(name), field.annotation
        if isinstance(value, str) and Path in (kind, *get_args(kind)):
            values[name] = folder / value
        elif isinstance(value, dict) and _is_section(kind):
            _anchor(value, kind, folder)


def load_settings(file: Path | None = None) -> Settings:
    """Read `file` (or the one that DOWNTICK_CONFIG names) and the variables.

    Relative paths in the file are meant relative to the file.
    """
    if file is None and os.environ.get(CONFIG_VARIABLE):
        file = Path(os.environ[CONFIG_VARIABLE])
    values = _read_yaml(file) if file else {}
    if file:
        _anchor(values, Settings, file.parent)
    problems = _unknown_variables()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            key = ".".join(str(part) for part in problem["loc"]) or "settings"
            message = problem["msg"].removeprefix("Value error, ")
            if isinstance(problem["input"], str) and problem["type"] in _NOT_JSON:
                message += "; a variable has lists and mappings as JSON, such as [600, 3600]"
            shown = "" if problem["type"] == "missing" else f" (got {problem['input']!r:.80})"
            # A whole section may hold the password, too; the URLs of services are secrets, and what stands where
            # no setting is may be one.
            secret = "password" in key or key == "kafka" or key.startswith("notify")
            if secret or isinstance(problem["input"], dict) or problem["type"] == "extra_forbidden":
                shown = ""
            problems.append(f"  {key}: {message}{shown}")
    except TypeError as error:  # keys that are no words
        problems.append(f"  {error}")
    if problems:
        origin = f"{file} and the {PREFIX}* variables" if file else f"the {PREFIX}* variables"
        raise SettingsError("\n".join([f"these settings, from {origin}, cannot be used:", *problems]))
    return settings
