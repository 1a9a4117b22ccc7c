"""A whole run: train, calibrate, report."""

import json
from pathlib import Path

import pytest
import torch
from power_cut import same_weights
from tiny_run import configuration, make_data, make_encoder

from stream.evaluation.rows import entity_rows, read_rows
from training import run
from training.configuration import Options, resolve_heads
from training.encoding import encode_rows
from training.model import load_checkpoint, new_classifier
from training.prediction import predict


def test_the_model_learns_both_heads_from_sets_that_know_different_labels(finished: Path) -> None:
    scores = json.loads((finished / "report.json").read_text(encoding="utf-8"))["scores"]
    assert scores["sentiment"]["all"]["macro_f1"] > 0.9
    assert scores["topics"]["all"]["macro_f1"] > 0.9
    assert set(scores["sentiment"]["by_set"]) == {"news", "board"}


@pytest.mark.usefixtures("finished")
def test_no_attention_is_used_that_plans_anew_for_each_shape_of_a_batch() -> None:
    assert not torch.backends.cuda.cudnn_sdp_enabled()


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
