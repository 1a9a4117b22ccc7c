"""A run that cannot begin ends in one message, and leaves what is there."""

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from tiny_run import configuration, make_data, make_encoder, write_configuration
from transformers import XLMRobertaConfig, XLMRobertaModel

import training.model
from training.cli import train, tune
from training.model import most_tokens
from training.splits import Frozen, SplitError


@pytest.mark.parametrize("fault", ["encoder", "keep_weights"])
def test_a_start_that_fails_leaves_what_an_earlier_run_left(tmp_path: Path, fault: str) -> None:
    encoder = make_encoder(tmp_path / "encoder")
    changes: dict[str, Any] = {"encoder": str(tmp_path / "none")} if fault == "encoder" else {fault: 0.5}
    options = configuration(encoder, make_data(tmp_path / "data", rows=20), tmp_path / "out", **changes)
    left = ["test.jsonl", "valid.jsonl", "options.json", "cleaning.json", "checkpoints/checkpoint-5/weights"]
    for name in left:
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text("earlier", encoding="utf-8")
    result = CliRunner().invoke(train, ["--config", str(write_configuration(tmp_path / "run.yaml", options))])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert {(tmp_path / "out" / name).read_text(encoding="utf-8") for name in left} == {"earlier"}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            {"column": "sentiment", "values": {"negative": "negativ"}},
            "'negativ' is none of negative, neutral",
        ),
        (
            {"column": "sentiment", "possible": ["negative", "positive"], "values": {"neutral": "neutral"}},
            "'neutral' is none of `possible`",
        ),
        ({"column": "sentiment", "values": {"up": "positive"}}, "no row is left to train on"),
    ],
)
def test_labels_that_no_head_can_learn_are_named(tmp_path: Path, labels: dict[str, Any], said: str) -> None:
    encoder = make_encoder(tmp_path / "encoder")
    options = configuration(encoder, make_data(tmp_path / "data", rows=20), tmp_path / "out")
    options["heads"] = options["heads"][:1]
    options["data"] = [options["data"][0] | {"labels": {"sentiment": labels}}]
    path = write_configuration(tmp_path / "run.yaml", options)
    result = CliRunner().invoke(train, ["--config", str(path)])
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output


def test_an_encoder_that_is_not_there_ends_in_one_message(tmp_path: Path) -> None:
    options = configuration(tmp_path / "nowhere", make_data(tmp_path / "data"), tmp_path / "out")
    path = write_configuration(tmp_path / "run.yaml", options)
    result = CliRunner().invoke(train, ["--config", str(path)])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("Error: cannot get tokenizer.json of")


def test_a_hub_that_does_not_answer_ends_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> str:
        raise RuntimeError("Cannot send a request, as the client has been closed.")

    monkeypatch.setattr(training.model, "cached_file", unreachable)
    options = configuration(tmp_path / "some-model", make_data(tmp_path / "data"), tmp_path / "out")
    result = CliRunner().invoke(train, ["--config", str(write_configuration(tmp_path / "run.yaml", options))])
    assert result.exit_code == 1
    assert "some-model: the hub does not answer: Cannot send a request" in result.output.splitlines()[-1]


def test_more_tokens_than_the_encoder_has_positions_for_end_in_one_message(tmp_path: Path) -> None:
    encoder, data = make_encoder(tmp_path / "encoder"), make_data(tmp_path / "data", rows=20)
    options = configuration(encoder, data, tmp_path / "out", maximum_tokens=65)
    result = CliRunner().invoke(train, ["--config", str(write_configuration(tmp_path / "run.yaml", options))])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith(
        f"Error: maximum_tokens: {encoder} reads 64 tokens at most, not 65; set 64 or less"
    )


def test_positions_that_are_counted_from_behind_the_paddings_leave_fewer_tokens() -> None:
    shape = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = XLMRobertaConfig(**shape, intermediate_size=8, max_position_embeddings=34, pad_token_id=1)
    encoder = XLMRobertaModel(config)
    assert most_tokens(encoder) == 32
    encoder(input_ids=torch.full((1, 32), 5))
    with pytest.raises((RuntimeError, IndexError)):
        encoder(input_ids=torch.full((1, 33), 5))


@pytest.mark.parametrize("name", ["out", "splits"])
def test_a_path_that_cannot_be_used_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"\xff")
    (tmp_path / "folder").mkdir()
    where = {
        "out": {"output": str(tmp_path / "file" / "out")},
        "splits": {"splits": str(tmp_path / "folder")},
    }[name]
    options = configuration(tmp_path / "none", make_data(tmp_path / "data", rows=20), tmp_path / "out")
    path = write_configuration(tmp_path / "run.yaml", options | where)
    for command in (train, tune):
        result = CliRunner().invoke(command, ["--config", str(path)])
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        assert next(iter(where.values())) in result.output.splitlines()[-1]


def test_splits_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    (tmp_path / "splits.tsv").write_bytes(b"set\t\xff\n")
    with pytest.raises(SplitError, match=r"splits\.tsv is not UTF-8"):
        Frozen.read(tmp_path / "splits.tsv")
