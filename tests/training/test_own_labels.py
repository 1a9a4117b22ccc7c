"""Labels of the user's own beside published sets."""

import json
from pathlib import Path

from click.testing import CliRunner
from tiny_run import configuration, make_data, make_encoder, write_configuration, write_jsonl

from training.cli import train
from training.configuration import Options, read_configuration, resolve_heads
from training.dataset import build_corpus


def test_own_labels_are_a_further_set_of_more_weight(tmp_path: Path) -> None:
    labels = write_jsonl(
        tmp_path / "labels.jsonl",
        [
            {
                "id": str(number),
                "text": f"borealis word{number} loss",
                "sentiment": "negative",
                "reason": "random",
            }
            | {"entities": [{"name": "borealis", "sentiment": "negative"}]}
            for number in range(40)
        ],
    )
    values = configuration(
        make_encoder(tmp_path / "encoder"),
        make_data(tmp_path / "data", rows=60),
        tmp_path / "out",
        own_labels=[str(labels)],
        own_weight=3.0,
    )
    options = Options.model_validate(values)
    corpus = build_corpus(options, resolve_heads(options))
    own = [row for rows in corpus.rows.values() for row in rows if row.source == "own labels: labels"]
    assert len(own) == 40
    assert {row.weight for row in own} == {3.0}
    assert own[0].entities[0].targets["entity_sentiment"].allowed == {"negative"}
    splits = {row.text: row.split for row in own}
    assert {"train", "test"} <= set(splits.values())

    with labels.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": "borealis later", "sentiment": "neutral"}) + "\n")
    grown = build_corpus(options, resolve_heads(options))
    now = {
        row.text: row.split for rows in grown.rows.values() for row in rows if row.source.startswith("own")
    }
    assert {text: now[text] for text in splits} == splits, "no row ever changes its split"


def test_own_rows_that_say_nothing_and_companies_that_are_not_in_their_text_are_counted(
    tmp_path: Path,
) -> None:
    records = [{"text": f"borealis word{number} loss", "sentiment": "negative"} for number in range(20)]
    records += [{"text": f"cobalt word{number} loss", "sentimnt": "negative"} for number in range(10)]
    away = {"entities": [{"name": "dynamo", "sentiment": "negative"}, {"name": "acme"}]}
    records += [{"text": f"no name word{number}"} | away for number in range(5)]
    labels = write_jsonl(tmp_path / "labels.jsonl", records)
    values = configuration(
        tmp_path / "none", make_data(tmp_path / "data"), tmp_path / "out", own_labels=[str(labels)]
    )
    options = Options.model_validate(values)
    report = build_corpus(options, resolve_heads(options)).cleaning["own labels: labels"]
    assert (report.read, report.unlabelled, report.unplaced_entities, report.kept) == (35, 10, 5, 25)


def test_several_own_rows_of_a_text_teach_all_that_they_say(tmp_path: Path) -> None:
    text = "acme sues borealis"
    records = [
        {"text": text, "topics": ["money"], "entities": [{"name": "acme", "sentiment": "positive"}]},
        {"text": text, "topics": ["crime"], "entities": [{"name": "borealis", "sentiment": "negative"}]},
    ]
    labels = write_jsonl(tmp_path / "labels.jsonl", records)
    values = configuration(
        tmp_path / "none", make_data(tmp_path / "data"), tmp_path / "out", own_labels=[str(labels)]
    )
    options = Options.model_validate(values)
    corpus = build_corpus(options, resolve_heads(options))
    [own] = [row for rows in corpus.rows.values() for row in rows if row.source == "own labels: labels"]
    assert own.targets["topics"].allowed == {"money", "crime"}
    assert [(one.name, *one.targets["entity_sentiment"].allowed) for one in own.entities] == [
        ("acme", "positive"),
        ("borealis", "negative"),
    ]


def test_own_labels_that_cannot_be_read_end_in_one_message(tmp_path: Path) -> None:
    labels = write_jsonl(tmp_path / "labels.jsonl", [{"text": "x", "sentiment": "awful"}])
    options = configuration(tmp_path / "none", make_data(tmp_path / "data"), tmp_path / "out")
    path = write_configuration(tmp_path / "run.yaml", options)
    result = CliRunner().invoke(train, ["--config", str(path), "--own-labels", f"[{labels}]"])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].endswith(
        "line 1: sentiment has no label 'awful', only negative, neutral, positive"
    )


def test_a_few_rows_are_read_for_training_as_for_calibration(tmp_path: Path) -> None:
    labels = write_jsonl(
        tmp_path / "mine.jsonl",
        [
            {"title": "Acme warns", "text": "of a loss", "sentiment": "negative"},
            {"text": "Bolt is not so bad", "negative": False},
            {"text": "Cobalt wins", "entities": [{"name": "Cobalt", "sentiment": "positive"}]},
        ],
    )
    configs = Path(__file__).parents[2] / "training" / "configs"
    options = read_configuration(configs / "few.yaml", {"own_labels": [str(labels)], "valid_share": 0.01})
    corpus = build_corpus(options, resolve_heads(options))
    texts = {row.text for rows in corpus.rows.values() for row in rows}
    assert texts == {"Acme warns of a loss", "Bolt is not so bad", "Cobalt wins"}
