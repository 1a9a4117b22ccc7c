"""The published contract is what the records say, and what the records say is what is on the wire."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from stream import records
from stream.cli import main
from stream.contract import WIRE_RECORDS, asyncapi, contract_files, json_schema, schema_file
from stream.records import (
    Alert,
    AlertState,
    DeadLetter,
    DeadLetterReason,
    Evidence,
    NewsEvent,
    Observation,
    Observations,
    Position,
    Record,
    ReviewItem,
    ReviewReason,
    ScoredEvent,
    ScoredMention,
    Severity,
    Tick,
    Window,
)
from stream.settings import TopicSettings

PUBLISHED = Path(__file__).parents[1] / "docs" / "contract"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
POSITION = Position(topic="news.raw", partition=3, offset=41)
PROBABILITIES = {"negative": 0.9, "neutral": 0.08, "positive": 0.02}

EVENT = ScoredEvent(
    id="a1",
    position=POSITION,
    time=NOON,
    scored_at=NOON,
    text="Halden Foods recalls its baby milk",
    language="en",
    sentiment="negative",
    sentiment_probabilities=PROBABILITIES,
    confidence=0.9,
    topics=["product"],
    topic_probabilities={"product": 0.8},
    entities=[
        ScoredMention(
            name="Halden Foods",
            subject="entity:HLDN",
            sentiment="negative",
            sentiment_probabilities=PROBABILITIES,
        )
    ],
    subjects=["all", "topic:product", "entity:HLDN"],
    bundle="0123456789abcdef",
)
ALERT = Alert(
    id="c0ffee",
    revision=2,
    subject="entity:HLDN",
    state=AlertState.FIRING,
    severity=Severity.RED,
    started_at=NOON,
    updated_at=NOON,
    fired_at=NOON,
    window_seconds=600,
    negative=31,
    total=40,
    expected_negative=1.5,
    expected_share=0.2,
    probability=1e-12,
    peak_negative=31,
    topics={"product": 30},
    evidence=[Evidence(id="a1", time=NOON, negative=0.9, excerpt="Halden Foods recalls its baby milk")],
    reason="31 negatives in 10 minutes, 1.5 expected",
)
LETTER = DeadLetter(
    reason=DeadLetterReason.TOMBSTONE,
    detail="the record has no value",
    position=POSITION,
    recorded_at=NOON,
    failed_at=NOON,
    value_bytes=0,
)
OBSERVED = Observations(
    subject="all",
    bundle="0123456789abcdef",
    observations=[Observation(position=POSITION, id="a1", time=NOON, sentiment="negative", negative=0.9)],
)
ROW = Window(subject="all", start=NOON, seconds=900, negative=3, neutral=5, positive=2)

# Each record once with little in it and once with everything.
EXAMPLES: list[Record] = [
    NewsEvent(text="x"),
    NewsEvent(text="x", id="7", time=NOON, title="t", source="s", kind="news", url="https://example.org/7"),
    EVENT,
    EVENT.model_copy(update={"source": "wire", "kind": "news", "url": "https://example.org/7"}),
    ReviewItem(reason=ReviewReason.RANDOM, event=EVENT),
    ReviewItem(
        reason=ReviewReason.UNCERTAIN,
        event=EVENT.model_copy(update={"source": "wire", "kind": "news", "url": "https://example.org/7"}),
    ),
    OBSERVED,
    Tick(tick=NOON),
    ROW,
    ROW.model_copy(update={"expected_negative": 1.25, "final": True}),
    ALERT,
    ALERT.model_copy(
        update={"resolved_at": NOON, "state": AlertState.RESOLVED, "bundle": "0123456789abcdef"}
    ),
    LETTER,
    LETTER.model_copy(update={"value_base64": "eA==", "key_base64": "a2V5", "value_bytes": 1}),
]


def on_the_wire(record: Record) -> Any:
    return json.loads(record.to_bytes())


def validator(record: type[Record]) -> Draft202012Validator:
    return Draft202012Validator(json_schema(record), format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_the_published_files_are_those_that_the_records_give() -> None:
    published = {path.name: path.read_text(encoding="utf-8") for path in PUBLISHED.iterdir()}
    published.pop("README.md")
    assert published == contract_files(), "run `downtick schema`"


@pytest.mark.parametrize("record", WIRE_RECORDS, ids=lambda record: record.__name__)
def test_each_schema_is_valid_json_schema(record: type[Record]) -> None:
    Draft202012Validator.check_schema(json_schema(record))


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_what_is_written_satisfies_its_schema(record: Record) -> None:
    validator(type(record)).validate(on_the_wire(record))


def test_every_record_has_an_example() -> None:
    assert {type(example) for example in EXAMPLES} == set(WIRE_RECORDS)


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_a_schema_knows_every_field_that_is_written(record: Record) -> None:
    assert set(on_the_wire(record)) <= set(json_schema(type(record))["properties"])


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_a_schema_demands_only_what_is_always_written(record: Record) -> None:
    without_values = type(record).model_validate(
        {
            name: value
            for name, value in record.model_dump().items()
            if type(record).model_fields[name].is_required()
        }
    )
    assert set(json_schema(type(record))["required"]) <= set(on_the_wire(without_values))


def test_a_field_of_what_is_written_is_never_null() -> None:
    wire = on_the_wire(EVENT) | {"source": None}
    assert not validator(ScoredEvent).is_valid(wire)


@pytest.mark.parametrize(
    "event",
    [
        {"text": "x", "source": None},
        {"text": "x", "field of the source's own": 1},
        {"text": "公司公告", "entities": [{"name": "Halden Foods", "ticker": None}]},
    ],
)
def test_an_event_that_the_contract_allows_is_read(event: dict[str, Any]) -> None:
    validator(NewsEvent).validate(event)
    assert NewsEvent.model_validate(event).text == event["text"]


@pytest.mark.parametrize(
    "event",
    [
        {"title": "no text"},
        {"text": 5},
        {"text": "x", "time": True},
        {"text": "x", "entities": [{"ticker": "HLDN"}]},
        {"text": "x", "source": "s" * 201},
    ],
)
def test_the_contract_forbids_what_is_not_a_proper_event(event: dict[str, Any]) -> None:
    assert not validator(NewsEvent).is_valid(event)


def test_fields_are_described_by_the_docstrings_below_them() -> None:
    described = json_schema(Window)["properties"]["expected_negative"]["description"]
    assert described == "Negatives that the subject's history explains; absent while there is no history."


def test_every_topic_of_the_settings_is_a_channel() -> None:
    topics = TopicSettings()
    names = {name for name, field in TopicSettings.model_fields.items() if field.default in _addresses()}
    assert names == set(asyncapi()["channels"])
    assert _addresses() == {getattr(topics, name) for name in names}


def test_every_record_of_the_contract_travels_in_a_channel() -> None:
    parts = {"Position", "Mention", "ScoredMention", "Observation", "Evidence", "Record"}
    models = {
        name
        for name, value in vars(records).items()
        if isinstance(value, type) and issubclass(value, Record) and issubclass(value, BaseModel)
    }
    assert models - parts == set(asyncapi()["components"]["messages"])


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    document = yaml.safe_load((PUBLISHED / "asyncapi.yaml").read_text(encoding="utf-8"))
    references = list(_references(document))
    assert len(references) > 20
    for reference in references:
        file, _, pointer = reference.partition("#")
        target = document if not file else json.loads((PUBLISHED / file).read_text(encoding="utf-8"))
        for part in filter(None, pointer.split("/")):
            target = target[part]


@pytest.mark.parametrize(
    ("stage", "receives", "sends"),
    [
        ("score", {"news.raw"}, {"news.scored", "news.review", "news.dead-letter", "sentiment.observed"}),
        ("watch", {"sentiment.observed"}, {"sentiment.windows", "sentiment.alerts"}),
    ],
)
def test_the_operations_say_who_sends_and_who_receives(
    stage: str, receives: set[str], sends: set[str]
) -> None:
    document = asyncapi()
    found: dict[str, set[str]] = {"receive": set(), "send": set()}
    for name, operation in document["operations"].items():
        if name.startswith(f"{stage}."):
            channel = operation["channel"]["$ref"].rpartition("/")[2]
            found[operation["action"]].add(document["channels"][channel]["address"])
    assert found == {"receive": receives, "send": sends}


def test_the_names_do_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNTICK_TOPICS__RAW", "elsewhere")
    assert asyncapi()["channels"]["raw"]["address"] == "news.raw"


def test_the_command_writes_what_its_check_accepts(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "contract"
    written = CliRunner().invoke(main, ["schema", "--out", str(folder)])
    assert written.exit_code == 0
    assert len(written.output.splitlines()) == len(contract_files())
    assert CliRunner().invoke(main, ["schema", "--check", "--out", str(folder)]).exit_code == 0


def test_the_check_names_each_file_that_is_not_as_it_should_be(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["schema", "--out", str(tmp_path)])
    (tmp_path / schema_file(Alert)).unlink()
    (tmp_path / schema_file(Tick)).write_text("{}", encoding="utf-8")
    (tmp_path / "Old.schema.json").write_text("{}", encoding="utf-8")
    result = CliRunner().invoke(main, ["schema", "--check", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{tmp_path / 'Tick.schema.json'}: differs from the records",
        f"{tmp_path / 'Alert.schema.json'}: missing",
        f"{tmp_path / 'Old.schema.json'}: no such record any more",
    ]


def test_a_folder_that_cannot_be_written_ends_with_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(main, ["schema", "--out", str(tmp_path / "file" / "contract")])
    assert result.exit_code == 2
    assert result.stderr.startswith("downtick: cannot write ")


def _addresses() -> set[str]:
    return {channel["address"] for channel in asyncapi()["channels"].values()}


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    if isinstance(node, list):
        return [found for value in node for found in _references(value)]
    return []
