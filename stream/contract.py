"""The wire contract for other programs: JSON Schema of each record, AsyncAPI of the topics; `downtick schema`.

All of it is derived: fields from `stream.records`, their descriptions from the docstrings there, names
and shape of the topics from the settings' defaults. `docs/contract/` holds the result.
"""

import ast
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import click
import yaml
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from stream import records
from stream.command import UsageError, reports_errors
from stream.records import (
    Alert,
    DeadLetter,
    NewsEvent,
    Observations,
    Record,
    ReviewItem,
    ScoredEvent,
    Tick,
    Window,
)
from stream.settings import Settings, TopicSettings
from stream.topics import topic_configurations

VERSION = "1.1.0"
"""Of the contract, not of the program: raised with each change that a sender or receiver could notice."""

ASYNCAPI_FILE = "asyncapi.yaml"


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic: what travels in it, and which stage sends and receives it."""

    name: str
    """The field of `TopicSettings` that names the topic."""
    summary: str
    keys: Mapping[type[Record], str | None]
    """The records, each with what its key is; None where it has none."""
    sent_by: str | None = None
    received_by: str | None = None


CHANNELS = (
    Channel(
        "raw",
        "News items and comments, put there by your sources. Read with indulgence: a time may also be Unix "
        "seconds or milliseconds or lack its zone, an id or ticker may be a number, a title may stand alone.",
        {NewsEvent: "Any; it only decides the partition, within which order is kept."},
        received_by="score",
    ),
    Channel(
        "dead_letter",
        "Events that could not be processed, each with its reason, for whoever mends the source.",
        {DeadLetter: "Position of the source record: topic/partition/offset."},
        sent_by="score",
    ),
    Channel(
        "scored",
        "Every event with its sentiment and topics, for anyone.",
        {ScoredEvent: "Id of the event."},
        sent_by="score",
    ),
    Channel(
        "review",
        "Events for a person to label with `downtick review`: some by chance, some of which the model is unsure.",
        {ReviewItem: "Id of the event."},
        sent_by="score",
    ),
    Channel(
        "observed",
        "What each subject sees of the events, and the passing of time; between Downtick's stages only.",
        {Observations: "The subject.", Tick: None},
        sent_by="score",
        received_by="watch",
    ),
    Channel(
        "windows",
        "The trend, for dashboards: the newest row of a key is valid, the earlier ones are compacted away.",
        {Window: "Subject and start of the interval in Unix seconds: subject|start."},
        sent_by="watch",
    ),
    Channel(
        "alerts",
        "Surges of negative opinion, for people and pagers: the highest revision of an id is valid.",
        {Alert: "The subject."},
        sent_by="watch",
    ),
)


WIRE_RECORDS = tuple(record for channel in CHANNELS for record in channel.keys)


class _WireSchema(GenerateJsonSchema):
    """JSON Schema of what is on the wire, where `Record.to_bytes` leaves out fields without a value."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        if self.mode == "serialization":
            return self.generate_inner(schema["schema"])
        return super().nullable_schema(schema)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,  # noqa: FBT001  # the signature is pydantic's
    ) -> bool:
        inner = field["schema"]
        if self.mode == "serialization" and inner["type"] == "default":
            return bool(inner["schema"]["type"] != "nullable")
        return super().field_is_required(field, total)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  # the signature is pydantic's
        return False


def json_schema(record: type[Record]) -> dict[str, Any]:
    """JSON Schema (2020-12) of a record: as Downtick accepts it if it reads it, else as it writes it."""
    mode: Literal["validation", "serialization"] = "validation" if record is NewsEvent else "serialization"
    schema = record.model_json_schema(schema_generator=_WireSchema, mode=mode)
    for part in (schema, *schema.get("$defs", {}).values()):
        descriptions = field_descriptions().get(part["title"], {})
        for name, field in part.get("properties", {}).items():
            if name in descriptions:
                field["description"] = descriptions[name]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


@cache
def field_descriptions() -> Mapping[str, Mapping[str, str]]:
    """The docstrings below the fields of each record, by class and field.

    Read from the source, since at run time a field has no docstring; pydantic could keep them, but would
    parse the source at every start of every command.
    """
    return {
        node.name: {
            field.target.id: inspect.cleandoc(docstring.value.value)
            for field, docstring in zip(node.body, node.body[1:], strict=False)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(docstring, ast.Expr)
            and isinstance(docstring.value, ast.Constant)
            and isinstance(docstring.value.value, str)
        }
        for node in ast.parse(inspect.getsource(records)).body
        if isinstance(node, ast.ClassDef)
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: topics, keys, messages, and what Downtick sends and receives."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Downtick",
            "version": VERSION,
            "description": (inspect.getdoc(records) or "").partition("\n")[2].strip(),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {
            f"{stage}.{action}.{channel.name}": _operation(channel, action, stage)
            for channel in CHANNELS
            for action, stage in (("receive", channel.received_by), ("send", channel.sent_by))
            if stage
        },
        "components": {
            "messages": {
                record.__name__: _message(record, key)
                for channel in CHANNELS
                for record, key in channel.keys.items()
            }
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    topics = TopicSettings()
    address = getattr(topics, channel.name)
    # Built without validation: the defaults are wanted, not what the environment says.
    configuration = topic_configurations(Settings.model_construct(topics=topics))[address]
    binding: dict[str, Any] = {"topic": address}
    if configuration:
        binding["topicConfiguration"] = {
            key: value.split(",") if key == "cleanup.policy" else int(value)
            for key, value in configuration.items()
        }
    return {
        "address": address,
        "summary": channel.summary,
        "messages": {
            record.__name__: {"$ref": f"#/components/messages/{record.__name__}"} for record in channel.keys
        },
        "bindings": {"kafka": binding},
    }


def _operation(channel: Channel, action: str, stage: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": f"The {stage} stage {action}s.",
        "messages": [
            {"$ref": f"#/channels/{channel.name}/messages/{record.__name__}"} for record in channel.keys
        ],
    }


def _message(record: type[Record], key: str | None) -> dict[str, Any]:
    message: dict[str, Any] = {"name": record.__name__, "summary": inspect.cleandoc(record.__doc__ or "")}
    if key is not None:
        message["bindings"] = {"kafka": {"key": {"type": "string", "description": key}}}
    return message | {"payload": {"$ref": schema_file(record)}}


def schema_file(record: type[Record]) -> str:
    """Name of the file with a record's JSON Schema."""
    return f"{record.__name__}.schema.json"


def contract_files() -> dict[str, str]:
    """Every file of the contract: its name and what is in it."""
    files = {
        schema_file(record): json.dumps(json_schema(record), indent=2, ensure_ascii=False) + "\n"
        for record in WIRE_RECORDS
    }
    document = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=100)
    return files | {ASYNCAPI_FILE: f"# Made by `downtick schema`.\n{document}"}


def differences(folder: Path) -> list[str]:
    """What is not as it should be in `folder`: a line for each file."""
    lines = []
    for name, content in contract_files().items():
        path = folder / name
        if not path.is_file():
            lines.append(f"{path}: missing")
        elif path.read_text(encoding="utf-8") != content:
            lines.append(f"{path}: differs from the records")
    known = {schema_file(record) for record in WIRE_RECORDS}
    lines.extend(
        f"{path}: no such record any more"
        for path in sorted(folder.glob("*.schema.json"))
        if path.name not in known
    )
    return lines


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("docs/contract"),
    show_default=True,
    help="Folder to write to.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail if the files there differ.")
@reports_errors
def schema(out: Path, *, check: bool) -> None:
    """Write the wire contract as JSON Schema and AsyncAPI."""
    if check:
        lines = differences(out)
        for line in lines:
            click.echo(line, err=True)
        sys.exit(1 if lines else 0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in contract_files().items():
            (out / name).write_text(content, encoding="utf-8")
            click.echo(out / name)
    except OSError as error:
        raise UsageError(f"cannot write {error.filename or out}: {error.strerror}") from error
