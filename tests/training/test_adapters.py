"""Published files in many forms become rows with what each really says."""

from pathlib import Path
from typing import Any

import pytest
from tiny_run import write_jsonl

from stream.evaluation.identity import text_key
from stream.evaluation.rows import Target, read_rows, write_rows
from training.adapters import DataError, read_set
from training.configuration import DataSet, Head, LabelSource
from training.taxonomy import Taxonomy

SENTIMENT = Head(name="sentiment", kind="single", labels=("negative", "neutral", "positive"))
TOPICS = Head(name="topics", kind="multi", labels=("earnings", "people", "capital"))
ALL = frozenset(SENTIMENT.labels)


def read(tmp_path: Path, records: list[dict[str, Any]], **labels: dict[str, Any]) -> Any:
    write_jsonl(tmp_path / "set.jsonl", records)
    data = DataSet.model_validate(
        {"name": "set", "files": {"train": "set.jsonl"}, "licence": "MIT", "labels": labels}
    )
    return read_set(data, [SENTIMENT, TOPICS], tmp_path)


def test_text_is_normalised_as_in_the_stream(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        [{"text": "Ａｃｍｅ  falls &amp; falls https://t.co/x", "sentiment": "negative"}],
        sentiment={"column": "sentiment"},
    )
    assert [row.text for row in reading.rows] == ["Acme falls & falls"]


def test_csv_is_read_like_jsonl(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text('body,mood\n"profits rise, again",up\n', encoding="utf-8")
    data = DataSet.model_validate(
        {
            "name": "set",
            "files": {"train": "set.csv"},
            "text": "body",
            "licence": "MIT",
            "labels": {"sentiment": {"column": "mood", "values": {"up": "positive"}}},
        }
    )
    [row] = read_set(data, [SENTIMENT], tmp_path).rows
    assert row.text == "profits rise, again"
    assert row.targets["sentiment"] == Target(frozenset({"positive"}), ALL)


@pytest.mark.parametrize("columns", [None, ["mood", "body"]])
def test_a_csv_row_that_commas_would_cut_is_refused(tmp_path: Path, columns: list[str] | None) -> None:
    header = "" if columns else "mood,body\n"
    lines = f"{header}up,profits rise,\nup,profits rise, again\n"
    (tmp_path / "set.CSV").write_text(lines, encoding="utf-8")
    data = DataSet(
        name="set",
        files={"train": Path("set.CSV")},
        text="body",
        columns=columns,
        licence="MIT",
        labels={"sentiment": LabelSource(column="mood", values={"up": "positive"})},
    )
    with pytest.raises(
        DataError, match=f"line {3 - bool(columns)}: other fields than the 2 columns; put a text"
    ):
        read_set(data, [SENTIMENT], tmp_path)


def test_entities_that_agree_give_the_text_their_label_and_others_give_none(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        [
            {"text": "both rise", "entities": [{"s": "positive"}, {"s": "positive"}]},
            {"text": "one rises, one falls", "entities": [{"s": "positive"}, {"s": "negative"}]},
        ],
        sentiment={"column": "entities.s"},
    )
    assert [bool(row.targets) for row in reading.rows] == [True, False]
    assert reading.disagreeing == 1


def test_rows_of_the_same_text_are_brought_together(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        [
            {"text": "results and a new chief", "t": "earnings"},
            {"text": "results and a new chief", "t": "people"},
        ],
        topics={"column": "t"},
    )
    [row] = reading.rows
    assert row.targets["topics"].allowed == {"earnings", "people"}


def test_not_negative_leaves_two_labels_open(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        [{"text": "nothing bad", "negative": False}, {"text": "a fraud", "negative": True}],
        sentiment={"column": "negative", "values": {"true": "negative", "false": ["neutral", "positive"]}},
    )
    assert [row.targets["sentiment"].allowed for row in reading.rows] == [
        {"neutral", "positive"},
        {"negative"},
    ]


def test_a_label_that_nobody_knows_is_reported_and_teaches_nothing(tmp_path: Path) -> None:
    reading = read(tmp_path, [{"text": "x y", "sentiment": "postive"}], sentiment={"column": "sentiment"})
    assert reading.odd["sentiment"] == {"postive": 1}
    assert reading.rows[0].targets == {}


def test_a_taxonomy_says_what_a_set_is_unsure_of(tmp_path: Path) -> None:
    taxonomy = Taxonomy.model_validate(
        {
            "labels": {"earnings": "results", "people": "executives", "capital": "shares"},
            "sets": {
                "set": {
                    "possible": ["earnings", "people"],
                    "values": {
                        "profit": {"present": ["earnings"], "unsure": ["people"]},
                        "place": [],
                        "noise": None,
                    },
                }
            },
        }
    )
    head = TOPICS.model_copy(update={"taxonomy": taxonomy})
    write_jsonl(
        tmp_path / "set.jsonl",
        [
            {"text": "one", "t": ["profit"]},
            {"text": "two", "t": ["place"]},
            {"text": "three", "t": ["noise"]},
        ],
    )
    data = DataSet.model_validate(
        {
            "name": "set",
            "files": {"train": "set.jsonl"},
            "licence": "MIT",
            "labels": {"topics": {"column": "t"}},
        }
    )
    profit, place, noise = read_set(data, [head], tmp_path).rows
    assert profit.targets["topics"] == Target(frozenset({"earnings"}), frozenset({"earnings"}))
    assert place.targets["topics"] == Target(frozenset(), frozenset({"earnings", "people"}))
    assert noise.targets == {}


def test_a_text_of_nothing_but_links_is_counted_and_dropped(tmp_path: Path) -> None:
    reading = read(
        tmp_path, [{"text": "https://t.co/x", "sentiment": "neutral"}], sentiment={"column": "sentiment"}
    )
    assert (reading.rows, reading.empty) == ([], 1)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"text": "x"}\n', "no column 'sentiment'"),
        ('{"text": "x", "sentiment": \n', "line 1 is not JSON"),
        ("[1]\n", "a JSON object is wanted"),
        (None, "set `data_root`"),
    ],
)
def test_a_file_that_cannot_be_read_says_which_and_why(
    tmp_path: Path, content: str | None, complaint: str
) -> None:
    if content is not None:
        (tmp_path / "set.jsonl").write_text(content, encoding="utf-8")
    data = DataSet.model_validate(
        {
            "name": "set",
            "files": {"train": "set.jsonl"},
            "licence": "MIT",
            "labels": {"sentiment": {"column": "sentiment"}},
        }
    )
    with pytest.raises(DataError, match=complaint) as caught:
        read_set(data, [SENTIMENT], tmp_path)
    assert "set.jsonl" in str(caught.value)


def test_a_table_that_begins_with_a_byte_order_mark_has_its_first_column(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("text,sentiment\nprofit falls,negative\n", encoding="utf-8-sig")
    data = DataSet(
        name="set",
        files={"train": Path("set.csv")},
        licence="MIT",
        labels={"sentiment": LabelSource(column="sentiment")},
    )
    [row] = read_set(data, [SENTIMENT], tmp_path).rows
    assert row.text == "profit falls"


def test_rows_survive_a_file(tmp_path: Path) -> None:
    reading = read(
        tmp_path, [{"text": "业绩下滑", "sentiment": "negative"}], sentiment={"column": "sentiment"}
    )
    write_rows(tmp_path / "rows.jsonl", reading.rows)
    assert list(read_rows(tmp_path / "rows.jsonl")) == reading.rows
    assert reading.rows[0].language == "zh"


def test_an_empty_list_says_that_a_text_has_none_of_the_labels_and_null_says_nothing(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        [
            {"text": "a quiet day", "sentiment": "neutral", "t": []},
            {"text": "another day", "sentiment": "neutral", "t": None},
            {"text": "twice told", "sentiment": "neutral", "t": []},
            {"text": "twice told", "sentiment": "neutral", "t": ["people"]},
        ],
        sentiment={"column": "sentiment"},
        topics={"column": "t"},
    )
    assert [row.targets.get("topics") for row in reading.rows] == [
        Target(frozenset(), frozenset(TOPICS.labels)),
        None,
        Target(frozenset({"people"}), frozenset(TOPICS.labels)),
    ]


def test_labels_in_a_file_of_their_own_stand_beside_what_the_set_says(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "set.jsonl",
        [
            {"text": "Acme gains on Bolt's recall", "t": "earnings"},
            {"text": "nobody labelled this", "t": "people"},
        ],
    )
    said = {
        "key": text_key("acme gains on bolts recall!"),
        "sentiment": "positive",
        "entities": [{"name": "Bolt", "s": "negative"}],
    }
    write_jsonl(tmp_path / "labels.jsonl", [said, {"key": "0" * 12, "sentiment": "neutral", "entities": []}])
    data = DataSet.model_validate(
        {
            "name": "set",
            "files": {"train": "set.jsonl"},
            "label_file": tmp_path / "labels.jsonl",
            "licence": "MIT",
            "labels": {
                "sentiment": {"column": "sentiment"},
                "topics": {"column": "t"},
                "entity_sentiment": {"column": "entities.s", "entity": "entities.name"},
            },
        }
    )
    towards = SENTIMENT.model_copy(update={"name": "entity_sentiment", "scope": "entity"})
    reading = read_set(data, [SENTIMENT, TOPICS, towards], tmp_path)
    [row] = reading.rows
    assert reading.read == 1
    assert row.targets["sentiment"].allowed == {"positive"}
    assert row.targets["topics"].allowed == {"earnings"}
    [bolt] = row.entities
    assert (bolt.name, bolt.targets["entity_sentiment"].allowed) == ("Bolt", {"negative"})


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (
            {"Moneybox Lending Ltd": True, "Moneybox": False, "Quarterly": False},
            {"Moneybox Lending Ltd", "Quarterly"},
        ),
        ({"Moneybox": True, "Moneybox Lending Ltd": False}, {"Moneybox"}),
        ({"Moneybox": True, "Moneybox Lending Ltd": True}, {"Moneybox", "Moneybox Lending Ltd"}),
        ({"Moneybox": False, "Moneybox Lending Ltd": False}, {"Moneybox", "Moneybox Lending Ltd"}),
    ],
)
def test_a_name_within_one_that_is_negative_is_not_taken_for_unremarkable(
    tmp_path: Path, said: dict[str, bool], kept: set[str]
) -> None:
    write_jsonl(
        tmp_path / "set.jsonl",
        [
            {
                "text": "Moneybox is gone: Moneybox Lending Ltd no longer pays, says the Quarterly.",
                "entities": [{"name": name, "negative": negative} for name, negative in said.items()],
            }
        ],
    )
    towards = SENTIMENT.model_copy(update={"name": "entity_sentiment", "scope": "entity"})

    def names_and_left_out(**options: bool) -> tuple[set[str], int]:
        source = {
            "column": "entities.negative",
            "entity": "entities.name",
            "values": {"true": "negative", "false": ["neutral", "positive"]},
            **options,
        }
        data = DataSet.model_validate(
            {
                "name": "set",
                "files": {"train": "set.jsonl"},
                "licence": "MIT",
                "labels": {towards.name: source},
            }
        )
        reading = read_set(data, [towards], tmp_path)
        return {entity.name for row in reading.rows for entity in row.entities}, reading.overlapping

    assert names_and_left_out() == (set(said), 0)
    assert names_and_left_out(one_of_overlapping=True) == (kept, len(said) - len(kept))


def test_a_file_of_labels_without_keys_is_named(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "set.jsonl", [{"text": "a"}])
    write_jsonl(tmp_path / "labels.jsonl", [{"text": "a", "sentiment": "neutral"}])
    data = DataSet(
        name="set",
        files={"train": Path("set.jsonl")},
        label_file=tmp_path / "labels.jsonl",
        licence="MIT",
    )
    with pytest.raises(DataError, match=r"labels\.jsonl has no column 'key'"):
        read_set(data, [SENTIMENT], tmp_path)


def test_a_file_of_labels_that_knows_none_of_the_texts_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "set.jsonl", [{"text": "a text"}])
    write_jsonl(tmp_path / "labels.jsonl", [{"key": text_key("another text"), "sentiment": "neutral"}])
    data = DataSet(
        name="set",
        files={"train": Path("set.jsonl")},
        label_file=tmp_path / "labels.jsonl",
        licence="MIT",
        labels={"sentiment": LabelSource(column="sentiment")},
    )
    with pytest.raises(DataError, match=r"labels\.jsonl labels none of the texts of set"):
        read_set(data, [SENTIMENT], tmp_path)
