"""A run that ends before its end, and goes on."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from power_cut import InterruptedRunError, PowerCut, same_weights
from tiny_run import configuration, make_data, make_encoder, write_configuration

from training import run
from training.cli import train
from training.configuration import ConfigurationError, Options, read_configuration
from training.model import load_checkpoint


def test_a_resumed_run_goes_on_from_its_last_checkpoint(finished: Path) -> None:
    history = json.loads((finished / "report.json").read_text(encoding="utf-8"))["history"]
    steps = [item["step"] for item in history if "loss" in item]
    assert steps == sorted(set(steps))
    assert max(steps) > 35 > min(steps)


def test_a_checkpoint_keeps_its_patience_where_the_next_version_looks_for_it(finished: Path) -> None:
    checkpoint = run.last_checkpoint(finished)
    assert checkpoint is not None
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    assert set(state["stateful_callbacks"]) == {"EarlyStoppingCallback", "TrainerControl"}


def test_a_run_that_was_interrupted_in_a_later_pass_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, data = make_encoder(tmp_path / "encoder"), make_data(tmp_path / "data", rows=40)
    changes = {"epochs": 3, "evaluate_every": 5, "swap_names": 0.5}
    whole = Options.model_validate(configuration(encoder, data, tmp_path / "whole", **changes))
    cut = Options.model_validate(configuration(encoder, data, tmp_path / "cut", **changes))
    run.train(whole, resume=False)
    steps = json.loads((tmp_path / "whole" / "report.json").read_text(encoding="utf-8"))["history"][-1][
        "step"
    ]
    board = run.Board
    with monkeypatch.context() as patch:
        patch.setattr(run, "Board", lambda _: PowerCut(steps // 2 + 3))
        with pytest.raises(InterruptedRunError):
            run.train(cut, resume=False)
    monkeypatch.setattr(run, "Board", board)
    run.train(cut, resume=True)
    # The newest, since the best may be from before the interruption.
    newest = [run.last_checkpoint(tmp_path / name) for name in ("whole", "cut")]
    assert newest[0] is not None
    assert newest[1] is not None
    assert newest[0].name == newest[1].name
    assert int(newest[0].name.rpartition("-")[2]) > steps // 2 + 3 > steps / 3
    assert same_weights(*(load_checkpoint(folder)[0] for folder in newest if folder))


def test_a_run_that_was_interrupted_after_its_patience_had_ended_learns_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, data = make_encoder(tmp_path / "encoder"), make_data(tmp_path / "data", rows=20)
    changes = {"epochs": 8, "evaluate_every": 2, "patience": 2}
    # Nothing gets better.
    rates = {"learning_rate": 1e-12, "head_learning_rate": 1e-12}
    options = Options.model_validate(configuration(encoder, data, tmp_path / "out", **changes, **rates))

    def cut(*_: object) -> None:
        raise InterruptedRunError

    with monkeypatch.context() as patch:
        patch.setattr(run, "mix_weights", cut)
        with pytest.raises(InterruptedRunError):
            run.train(options, resume=False)
    stopped = run.last_checkpoint(tmp_path / "out")
    run.train(options, resume=True)
    assert stopped is not None
    assert stopped.name == "checkpoint-6"
    assert run.last_checkpoint(tmp_path / "out") == stopped


def test_a_run_that_was_interrupted_has_no_model_of_an_earlier_one_beside_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, data = make_encoder(tmp_path / "encoder"), make_data(tmp_path / "data", rows=20)
    out = tmp_path / "out"
    options = Options.model_validate(configuration(encoder, data, out, evaluate_every=2, epochs=1))
    run.train(options, resume=False)
    assert (out / "report.html").exists()
    with monkeypatch.context() as patch:
        patch.setattr(run, "Board", lambda _: PowerCut(3))
        with pytest.raises(InterruptedRunError):
            run.train(options.model_copy(update={"test_share": 0.3}), resume=False)
    assert not [name for name in ("model", "report.json", "report.html") if (out / name).exists()]


def test_a_run_does_not_take_the_place_of_the_model_that_it_begins_with(
    finished: Path, tmp_path: Path
) -> None:
    options = configuration(finished / "model", make_data(tmp_path / "data"), finished)
    with pytest.raises(ConfigurationError, match="holds the model that the run learns from"):
        run.train(Options.model_validate(options), resume=False)
    assert (finished / "model").is_dir()


def test_a_run_goes_on_with_the_options_and_labels_that_it_was_begun_with_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_topics(*labels: str) -> None:
        taxonomy = {"labels": dict.fromkeys(labels, "what it is")}
        (tmp_path / "topics.yaml").write_text(yaml.safe_dump(taxonomy, sort_keys=False), encoding="utf-8")

    options = configuration(
        make_encoder(tmp_path / "encoder"),
        make_data(tmp_path / "data", rows=20),
        tmp_path / "out",
        evaluate_every=2,
        epochs=1,
    )
    options["heads"][1] = {"name": "topics", "kind": "multi", "taxonomy": "topics.yaml"}
    path = write_configuration(tmp_path / "run.yaml", options)
    write_topics("money", "crime")
    with monkeypatch.context() as patch:
        patch.setattr(run, "Board", lambda _: PowerCut(3))
        with pytest.raises(InterruptedRunError):
            run.train(read_configuration(path, {}), resume=False)
    begun = (tmp_path / "out" / "options.json").read_bytes()

    def resume(*flags: str) -> Any:
        return CliRunner().invoke(train, ["--config", str(path), "--resume", *flags])

    changed = resume("--learning-rate", "0.001", "--seed", "3", "--threads", "2")
    assert changed.exit_code == 1
    assert "cannot go on with other learning_rate, seed: give those of" in changed.output.splitlines()[-1]
    for labels in (("money", "crime", "weather"), ("crime", "money")):
        write_topics(*labels)
        changed = resume()
        assert changed.exit_code == 1
        assert "cannot go on with other labels of topics" in changed.output.splitlines()[-1]
    assert (tmp_path / "out" / "options.json").read_bytes() == begun
    write_topics("money", "crime")
    # The same file by another name.
    monkeypatch.chdir(tmp_path)
    absolute = str(tmp_path / "topics.yaml").encode()
    assert absolute in begun
    (tmp_path / "out" / "options.json").write_bytes(begun.replace(absolute, b"topics.yaml"))
    assert resume("--threads", "2").exit_code == 0


def test_a_run_does_not_go_on_with_rows_held_out_that_it_may_have_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = tmp_path / "splits.tsv"
    data = make_data(tmp_path / "data", rows=20)
    changes = {"evaluate_every": 2, "epochs": 1, "splits": str(splits)}
    options = configuration(make_encoder(tmp_path / "encoder"), data, tmp_path / "out", **changes)
    path = write_configuration(tmp_path / "run.yaml", options)
    with monkeypatch.context() as patch:
        patch.setattr(run, "Board", lambda _: PowerCut(3))
        with pytest.raises(InterruptedRunError):
            run.train(read_configuration(path, {}), resume=False)
    begun = splits.read_text(encoding="utf-8")
    news = (data / "news.jsonl").read_text(encoding="utf-8")

    def refusal() -> str:
        result = CliRunner().invoke(train, ["--config", str(path), "--resume"])
        assert result.exit_code == 1
        return result.output.splitlines()[-1]

    splits.write_text(re.sub("^test\t.*\n", "", begun, count=1, flags=re.MULTILINE), encoding="utf-8")
    assert refusal().startswith(
        f"Error: the test rows are no longer those of {tmp_path / 'out' / 'test.jsonl'}"
    )
    splits.write_text(begun, encoding="utf-8")
    (data / "news.jsonl").write_text(news.replace("positive", "neutral"), encoding="utf-8")
    assert "rows are no longer those of" in refusal()


def test_a_half_written_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    good = tmp_path / "checkpoints" / "checkpoint-50"
    torn = tmp_path / "checkpoints" / "checkpoint-100"
    for folder in (good, torn):
        folder.mkdir(parents=True)
    (good / "trainer_state.json").write_text("{}", encoding="utf-8")
    assert run.last_checkpoint(tmp_path) == good
    assert not torn.exists()


def test_while_the_encoder_rests_no_patience_ends_the_run_also_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, data = make_encoder(tmp_path / "encoder"), make_data(tmp_path / "data", rows=20)
    # Heads that hardly move never get better.
    changes = {
        "epochs": 4,
        "frozen_epochs": 4,
        "evaluate_every": 2,
        "patience": 2,
        "head_learning_rate": 1e-12,
    }
    options = Options.model_validate(configuration(encoder, data, tmp_path / "out", **changes))
    with monkeypatch.context() as patch:
        patch.setattr(run, "Board", lambda _: PowerCut(5))
        with pytest.raises(InterruptedRunError):
            run.train(options, resume=False)
    run.train(options, resume=True)
    newest = run.last_checkpoint(tmp_path / "out")
    assert newest is not None
    state = json.loads((newest / "trainer_state.json").read_text(encoding="utf-8"))
    assert state["global_step"] == state["max_steps"] > 6
