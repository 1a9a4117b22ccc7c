"""A whole run: train, be interrupted, go on, calibrate, report."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from tiny_run import configuration, make_data, make_encoder, write_configuration, write_jsonl
from transformers import TrainerCallback, XLMRobertaConfig, XLMRobertaModel

import training.model
from stream.evaluation.rows import entity_rows, read_rows
from training import run
from training.cli import train, tune
from training.configuration import Options, read_configuration, resolve_heads
from training.dataset import build_corpus
from training.encoding import encode_rows
from training.model import load_checkpoint, most_tokens, new_classifier
from training.prediction import predict
from training.splits import Frozen, SplitError


class InterruptedRunError(Exception):
    """Stands for a power cut."""


class PowerCut(TrainerCallback):
    """Ends the process's work right after an update, as a kill would."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, _arguments: Any, state: Any, _control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            raise InterruptedRunError


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run that was interrupted after a checkpoint and then resumed."""
    root = tmp_path_factory.mktemp("run")
    options = configuration(make_encoder(root / "encoder"), make_data(root / "data"), root / "out")
    path = write_configuration(root / "run.yaml", options)

    with pytest.MonkeyPatch.context() as patch:
        board = run.Board

        def board_and_cut(folder: Path) -> Any:
            trainer_callbacks.append(board(folder))
            return PowerCut(35)

        trainer_callbacks: list[Any] = []
        patch.setattr(run, "Board", board_and_cut)
        with pytest.raises(InterruptedRunError):
            run.train(read_configuration(path, {}), resume=False)
        trainer_callbacks[0].on_train_end()
    assert (root / "out" / "checkpoints" / "checkpoint-25").is_dir()
    assert not (root / "out" / "model").exists()

    result = CliRunner().invoke(train, ["--config", str(path), "--resume"])
    assert result.exit_code == 0, result.output
    return root / "out"


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


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


def test_without_a_validation_label_the_last_checkpoint_is_kept_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"epochs": 2, "evaluate_every": 3, "valid_share": 0.0001, "patience": 1}
    data = make_data(tmp_path / "data", rows=40)
    options = configuration(make_encoder(tmp_path / "encoder"), data, tmp_path / "out", **changes)
    run.train(Options.model_validate(options), resume=False)
    assert "no validation row has a label" in caplog.text
    states = sorted(
        (tmp_path / "out" / "checkpoints").glob("checkpoint-*"), key=lambda each: int(each.name[11:])
    )
    last = json.loads((states[-1] / "trainer_state.json").read_text(encoding="utf-8"))
    assert last["global_step"] == last["max_steps"], "and no patience ends the run"


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


def test_a_head_goes_on_by_its_labels_and_not_by_their_order(finished: Path) -> None:
    model, _, description = load_checkpoint(finished / "model")
    turned = [head.model_copy(update={"labels": head.labels[::-1]}) for head in description.heads]
    again = new_classifier(str(finished / "model"), turned, dropout=0.1)
    for head in description.heads:
        before, after = model.last_layer(head.name), again.last_layer(head.name)
        assert torch.equal(after.weight, before.weight.flip(0)), head.name
        assert torch.equal(after.bias, before.bias.flip(0))


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


def test_the_model_learns_both_heads_from_sets_that_know_different_labels(finished: Path) -> None:
    scores = json.loads((finished / "report.json").read_text(encoding="utf-8"))["scores"]
    assert scores["sentiment"]["all"]["macro_f1"] > 0.9
    assert scores["topics"]["all"]["macro_f1"] > 0.9
    assert set(scores["sentiment"]["by_set"]) == {"news", "board"}


def test_the_model_learns_what_a_text_says_of_each_of_its_entities(finished: Path) -> None:
    model, tokenizer, description = load_checkpoint(finished / "model")
    rows = [row for row in read_rows(finished / "test.jsonl") if row.source == "pairs"]
    opposed = [
        row for row in rows if len({entity.targets["entity_sentiment"] for entity in row.entities}) > 1
    ]
    assert len(opposed) > 10
    encodings = encode_rows(tokenizer, opposed, description.maximum_tokens)
    logits = predict(model, description.heads, encodings, description.padding_id, 32)
    answers = logits["entity_sentiment"].argmax(axis=1)
    head = next(head for head in description.heads if head.name == "entity_sentiment")
    right = [
        head.labels[answer] in row.targets["entity_sentiment"].allowed
        for answer, row in zip(answers, entity_rows(opposed), strict=True)
    ]
    assert sum(right) / len(right) > 0.8
    scores = json.loads((finished / "report.json").read_text(encoding="utf-8"))["scores"]
    assert scores["entity_sentiment"]["all"]["rows"] == 2 * len(rows)


def test_a_run_can_go_on_from_a_finished_checkpoint(finished: Path) -> None:
    model, _, description = load_checkpoint(finished / "model")
    heads = [*description.heads[:2], description.heads[2].model_copy(update={"name": "other"})]
    again = new_classifier(str(finished / "model"), heads, dropout=0.1)
    assert torch.equal(again.heads["sentiment"].weight, model.heads["sentiment"].weight)
    assert same_weights(again.encoder, model.encoder)


def test_heads_of_which_the_rows_say_nothing_are_kept_with_what_was_fitted_to_them(
    finished: Path, tmp_path: Path
) -> None:
    _, _, before = load_checkpoint(finished / "model")
    data = make_data(tmp_path / "data", rows=160)
    options = configuration(finished / "model", data, tmp_path / "out", epochs=1, evaluate_every=5)
    options["data"] = options["data"][:1]
    _, _, after = load_checkpoint(run.train(Options.model_validate(options), resume=False))
    assert after.heads[0] != before.heads[0]
    assert after.heads[1:] == before.heads[1:]
    assert after.heads[1].temperature != 1.0


def test_words_alone_teach_nothing_to_a_head_that_no_set_labels(finished: Path, tmp_path: Path) -> None:
    _, _, before = load_checkpoint(finished / "model")
    taxonomy = {
        "labels": {"money": "of money", "crime": "of crime"},
        "cues": {"money": ["profit"]},
        "decided_by_cues": ["money"],
    }
    (tmp_path / "topics.yaml").write_text(yaml.safe_dump(taxonomy, sort_keys=False), encoding="utf-8")
    options = configuration(finished / "model", make_data(tmp_path / "data", rows=60), tmp_path / "out")
    options["heads"][1] = {"name": "topics", "kind": "multi", "taxonomy": str(tmp_path / "topics.yaml")}
    options["data"] = options["data"][:1]
    prepared = run.prepare(Options.model_validate(options))
    assert {name for row in prepared.corpus.rows["train"] for name in row.targets} == {"sentiment"}
    assert prepared.description.heads[1:] == before.heads[1:]


@pytest.mark.parametrize("valid_share", [0.0001, 0.15])
def test_a_head_that_learns_and_that_few_validation_rows_know_keeps_what_was_fitted_to_it(
    finished: Path, tmp_path: Path, valid_share: float
) -> None:
    _, _, before = load_checkpoint(finished / "model")
    data = make_data(tmp_path / "data", rows=40)
    options = configuration(
        finished / "model", data, tmp_path / "out", epochs=1, evaluate_every=5, valid_share=valid_share
    )
    _, _, after = load_checkpoint(run.train(Options.model_validate(options), resume=False))
    assert after.heads == before.heads


def test_a_label_whose_threshold_will_be_tuned_has_the_earlier_one_until_then(
    finished: Path, tmp_path: Path
) -> None:
    _, _, before = load_checkpoint(finished / "model")
    options = configuration(finished / "model", make_data(tmp_path / "data"), tmp_path / "out")
    options["heads"][1]["labels"] = ["crime", "money", "weather"]
    prepared = run.prepare(Options.model_validate(options))
    assert "topics" in prepared.fitted
    assert before.heads[1].thresholds != [0.5, 0.5]
    assert prepared.description.heads[1].thresholds == [*before.heads[1].thresholds[::-1], 0.5]


def test_only_heads_that_some_test_row_knows_have_figures(finished: Path) -> None:
    _, _, description = load_checkpoint(finished / "model")
    nothing = {head.name: {"all": {}, "by_language": {}, "by_set": {}} for head in description.heads}
    known = {"all": {"rows": 3, "accuracy": 1.0}, "by_language": {}, "by_set": {}}
    assert set(run.headline(nothing | {"topics": known}, description.heads)) == {"topics"}


def test_a_checkpoint_predicts_what_the_run_reported(finished: Path) -> None:
    model, tokenizer, description = load_checkpoint(finished / "model")
    rows = [row for row in read_rows(finished / "test.jsonl") if row.source == "news"]
    encodings = encode_rows(tokenizer, rows, description.maximum_tokens)
    answers = predict(model, description.heads, encodings, description.padding_id, 32)["sentiment"].argmax(
        axis=1
    )
    right = [
        description.heads[0].labels[answer] in row.targets["sentiment"].allowed
        for answer, row in zip(answers, rows, strict=True)
    ]
    reported = description.metrics["sentiment"]["set news"]["accuracy"]
    assert sum(right) / len(right) == pytest.approx(reported, abs=1e-3)


def test_test_and_validation_rows_were_not_trained_on(finished: Path) -> None:
    report = json.loads((finished / "cleaning.json").read_text(encoding="utf-8"))
    kept = sum(found["kept"] for found in report["sets"].values())
    assert sum(report["rows"].values()) == kept
    test = {row.text for row in read_rows(finished / "test.jsonl")}
    valid = {row.text for row in read_rows(finished / "valid.jsonl")}
    assert not test & valid


def test_the_report_is_one_page_with_pictures_that_needs_no_network(finished: Path) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= 6
    for outside in ("http://", "https://", "<script", "<link"):
        assert outside not in page


def test_the_checkpoint_says_what_it_was_trained_on(finished: Path) -> None:
    _, _, description = load_checkpoint(finished / "model")
    assert [item["licence"] for item in description.data] == ["MIT", "not stated", "MIT", "MIT"]
    assert all(item["rows"] > 0 for item in description.data)


def test_the_run_left_logs_for_tensorboard(finished: Path) -> None:
    assert list((finished / "tensorboard").glob("events.out.tfevents.*"))


def test_a_half_written_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    good = tmp_path / "checkpoints" / "checkpoint-50"
    torn = tmp_path / "checkpoints" / "checkpoint-100"
    for folder in (good, torn):
        folder.mkdir(parents=True)
    (good / "trainer_state.json").write_text("{}", encoding="utf-8")
    assert run.last_checkpoint(tmp_path) == good
    assert not torn.exists()


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


def test_the_encoder_rests_while_the_heads_learn_alone(tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path / "encoder")
    changes = {"frozen_epochs": 1, "epochs": 1}
    options = configuration(encoder, make_data(tmp_path / "data", rows=60), tmp_path / "out", **changes)
    before = new_classifier(str(encoder), resolve_heads(Options.model_validate(options)), dropout=0.0)
    rested, _, _ = load_checkpoint(run.train(Options.model_validate(options), resume=False))
    assert same_weights(rested.encoder, before.encoder)
    assert not torch.equal(rested.heads["sentiment"].bias, torch.zeros(3))

    longer = Options.model_validate({**options, "epochs": 2})
    moved, _, _ = load_checkpoint(run.train(longer, resume=False))
    assert not same_weights(moved.encoder, before.encoder)


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


def test_the_open_configuration_reads_the_sets_as_they_are_published(tmp_path: Path) -> None:
    for name, label in (("sent_train", 1), ("sent_valid", 0)):
        (tmp_path / "twitter_financial_sentiment").mkdir(exist_ok=True)
        file = tmp_path / "twitter_financial_sentiment" / f"{name}.csv"
        file.write_text(f"text,label\n{name} one,{label}\n{name} two,2\n", encoding="utf-8")
    for name, label in (("topic_train", 5), ("topic_valid", 17)):
        (tmp_path / "twitter_financial_topic").mkdir(exist_ok=True)
        file = tmp_path / "twitter_financial_topic" / f"{name}.csv"
        file.write_text(f"text,label\n{name},{label}\n", encoding="utf-8")
    for name in ("sentfin", "finentity"):
        record = {"text": f"Acme rises, says {name}", "entities": [{"name": "Acme", "sentiment": "positive"}]}
        write_jsonl(tmp_path / name / "train.jsonl", [record])
    configs = Path(__file__).parents[2] / "training" / "configs"
    changes = {"data_root": str(tmp_path), "splits": str(tmp_path / "splits.tsv"), "test_share": 0.01}
    options = read_configuration(configs / "open.yaml", changes)
    corpus = build_corpus(options, resolve_heads(options))
    said = {
        row.text: {label for target in row.targets.values() for label in target.allowed}
        for rows in corpus.rows.values()
        for row in rows
    }
    assert said["sent_train one"] == {"positive"}
    assert said["sent_valid one"] == {"negative"}
    assert said["sent_valid two"] == {"neutral"}
    assert said["topic_train"] == {"earnings"}
    assert said["topic_valid"] == {"people"}
    assert {"Acme rises, says sentfin", "Acme rises, says finentity"} <= set(said)
