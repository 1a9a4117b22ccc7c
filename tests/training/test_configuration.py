"""A wrong option is one message that names the key; every option is also a flag."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tiny_run import configuration, write_configuration

from training.cli import train
from training.configuration import (
    DATA_ROOT_VARIABLE,
    ConfigurationError,
    Options,
    read_configuration,
    resolve_heads,
)

CONFIGURATIONS = Path(__file__).parents[2] / "training" / "configs"


def tiny(**changes: Any) -> dict[str, Any]:
    return {**configuration(Path("encoder"), Path("data"), Path("runs/tiny")), **changes}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rte": 1e-4}, "learning_rte"),
        ({"epochs": "many"}, "epochs"),
        ({"heads": [{"name": "mood", "kind": "single", "labels": ["one"]}]}, "heads.0"),
        ({"heads": [{"name": "mood", "kind": "single"}]}, "heads.0"),
        ({"precision": "int8"}, "precision"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    path = write_configuration(tmp_path / "run.yaml", tiny(**changes))
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(path, {})
    assert f"  {key}" in str(caught.value)
    assert str(path) in str(caught.value)


def test_all_wrong_options_are_told_at_once(tmp_path: Path) -> None:
    path = write_configuration(tmp_path / "run.yaml", tiny(batch_size=0, seed=-1))
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(path, {})
    assert "batch_size" in str(caught.value)
    assert "seed" in str(caught.value)


def test_a_set_that_labels_an_unknown_head_is_named(tmp_path: Path) -> None:
    options = tiny()
    options["data"][0]["labels"] = {"mood": {"column": "sentiment"}}
    with pytest.raises(ConfigurationError, match=r"news\.labels names the head 'mood'"):
        read_configuration(write_configuration(tmp_path / "run.yaml", options), {})


def test_a_value_that_means_no_label_of_a_single_head_is_named(tmp_path: Path) -> None:
    options = tiny()
    options["data"][0]["labels"] = {"sentiment": {"column": "sentiment", "values": {"mixed": []}}}
    options["data"][2]["labels"] = {"topics": {"column": "about", "values": {"weather": []}}}
    read = read_configuration(write_configuration(tmp_path / "run.yaml", options), {})
    with pytest.raises(ConfigurationError) as caught:
        resolve_heads(read)
    assert "data.news.labels.sentiment: 'mixed' means no label" in str(caught.value)
    assert "null says nothing" in str(caught.value)
    assert "weather" not in str(caught.value)


def test_a_run_without_any_rows_is_told_where_they_belong(tmp_path: Path) -> None:
    path = write_configuration(tmp_path / "run.yaml", tiny(data=[]))
    with pytest.raises(ConfigurationError, match="name a set under `data`, or a file under `own_labels`"):
        read_configuration(path, {})
    assert read_configuration(path, {"own_labels": ["mine.jsonl"]}).data == []


def test_a_taxonomy_that_maps_to_an_unknown_label_is_named(tmp_path: Path) -> None:
    (tmp_path / "topics.yaml").write_text(
        yaml.safe_dump({"labels": {"a": "x", "b": "y"}, "sets": {"news": {"values": {"A": ["c"]}}}}),
        encoding="utf-8",
    )
    options = tiny(heads=[{"name": "topics", "kind": "multi", "taxonomy": "topics.yaml"}])
    options["data"] = [{**options["data"][2]}]
    read = read_configuration(write_configuration(tmp_path / "run.yaml", options), {})
    with pytest.raises(ConfigurationError, match=r"sets\.news\.values\.A: 'c' is not among the labels"):
        resolve_heads(read)


def test_every_option_is_also_a_flag() -> None:
    flags = {option for parameter in train.params for option in parameter.opts}
    assert {f"--{name.replace('_', '-')}" for name in Options.model_fields} <= flags


def test_a_flag_goes_before_the_file(tmp_path: Path) -> None:
    path = write_configuration(tmp_path / "run.yaml", tiny(batch_size=16))
    assert read_configuration(path, {"batch_size": 4}).batch_size == 4


def test_a_configuration_says_the_same_by_whichever_path_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = tiny(splits="splits.tsv")
    options["heads"][1] = {"name": "topics", "kind": "multi", "taxonomy": "topics.yaml"}
    options["data"][0]["label_file"] = "labels.jsonl"
    path = write_configuration(tmp_path / "run.yaml", options)
    monkeypatch.chdir(tmp_path)
    assert read_configuration(Path("run.yaml"), {}) == read_configuration(path, {})


def test_configurations_that_are_based_on_each_other_are_named(tmp_path: Path) -> None:
    write_configuration(tmp_path / "a.yaml", {"base": "b.yaml"})
    write_configuration(tmp_path / "b.yaml", {"base": "c.yaml"})
    write_configuration(tmp_path / "c.yaml", {"base": "b.yaml"})
    with pytest.raises(ConfigurationError, match=r"c\.yaml: base must name another configuration"):
        read_configuration(tmp_path / "a.yaml", {})


def test_a_missing_data_file_ends_in_one_message(tmp_path: Path) -> None:
    path = write_configuration(
        tmp_path / "run.yaml", tiny(data_root=str(tmp_path), output=str(tmp_path / "run"))
    )
    result = CliRunner().invoke(train, ["--config", str(path)])
    assert result.exit_code == 1
    assert result.output.startswith("Error: cannot read")
    assert "data_root" in result.output


def test_the_data_folder_can_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(DATA_ROOT_VARIABLE, str(tmp_path))
    options = tiny()
    del options["data_root"]
    path = write_configuration(tmp_path / "run.yaml", options)
    assert read_configuration(path, {}).data_root == tmp_path


@pytest.mark.parametrize("name", ["default.yaml", "open.yaml"])
def test_the_shipped_configurations_are_valid(name: str) -> None:
    options = read_configuration(CONFIGURATIONS / name, {})
    heads = {head.name: head for head in resolve_heads(options)}
    assert heads["sentiment"].labels == ("negative", "neutral", "positive")
    assert {"credit-risk", "legal-regulation", "fraud-accounting", "product"} <= set(heads["topics"].labels)


def test_the_open_configuration_has_open_licences_only() -> None:
    options = read_configuration(CONFIGURATIONS / "open.yaml", {})
    assert {data.licence for data in options.data} <= {"MIT", "ODC-BY"}


def test_what_may_not_be_used_commercially_is_never_trained_on() -> None:
    options = read_configuration(CONFIGURATIONS / "default.yaml", {})
    assert all(data.evaluate_only for data in options.data if "NC" in data.licence)


def test_files_that_begin_with_a_dot_lie_beside_the_configuration_and_others_below_the_data_root(
    tmp_path: Path,
) -> None:
    sets = [
        {"name": "ours", "files": {"train": "../sets/ours.jsonl"}, "licence": "ours"},
        {
            "name": "theirs",
            "files": {"train": "theirs.csv"},
            "label_file": "labels/x.jsonl",
            "licence": "MIT",
        },
    ]
    (tmp_path / "configs").mkdir()
    path = write_configuration(tmp_path / "configs" / "run.yaml", tiny(data=sets))
    ours, theirs = read_configuration(path, {}).data
    assert ours.files["train"] == tmp_path / "sets" / "ours.jsonl"
    assert theirs.files["train"] == Path("theirs.csv")
    assert theirs.label_file == tmp_path / "configs" / "labels" / "x.jsonl"
