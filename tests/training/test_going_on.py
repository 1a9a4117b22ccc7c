"""A run that goes on from a finished checkpoint: what its heads keep, and what they learn."""

from pathlib import Path

import pytest
import torch
import yaml
from power_cut import same_weights
from tiny_run import configuration, make_data

from training import run
from training.configuration import Options
from training.distillation import weights_to_keep
from training.model import load_checkpoint, new_classifier, save_checkpoint


def test_a_head_goes_on_by_its_labels_and_not_by_their_order(finished: Path) -> None:
    model, _, description = load_checkpoint(finished / "model")
    turned = [head.model_copy(update={"labels": head.labels[::-1]}) for head in description.heads]
    again = new_classifier(str(finished / "model"), turned, dropout=0.1)
    for head in description.heads:
        before, after = model.last_layer(head.name), again.last_layer(head.name)
        assert torch.equal(after.weight, before.weight.flip(0)), head.name
        assert torch.equal(after.bias, before.bias.flip(0))


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


def calibrated(finished: Path, folder: Path) -> Path:
    """The finished checkpoint with offsets, as `downtick calibrate` fits them."""
    model, tokenizer, description = load_checkpoint(finished / "model")
    heads = [
        description.heads[0].model_copy(update={"temperature": 2.0, "offsets": [1.5, -1.0, -0.5]}),
        *description.heads[1:],
    ]
    save_checkpoint(folder, model, tokenizer, description.model_copy(update={"heads": heads}))
    return folder


@pytest.mark.parametrize("labels", [["negative", "neutral", "positive"], ["positive", "negative", "neutral"]])
def test_a_head_that_is_fitted_anew_goes_on_from_its_offsets(
    finished: Path, tmp_path: Path, labels: list[str]
) -> None:
    start = calibrated(finished, tmp_path / "calibrated")
    options = configuration(start, make_data(tmp_path / "data"), tmp_path / "out")
    options["heads"][0]["labels"] = labels
    options["heads"][2] |= {"labels": labels}
    prepared = run.prepare(Options.model_validate(options))
    before, _, description = load_checkpoint(start)
    head = prepared.description.heads[0]
    assert "sentiment" in prepared.fitted
    assert head.offsets == []
    batch = torch.tensor([[2, 5, 9, 3]]), torch.ones((1, 4), dtype=torch.long)
    with torch.no_grad():
        now = prepared.trainer.classifier.eval()(*batch)["sentiment"][0] / 2.0
        then = description.heads[0].scaled(before(*batch)["sentiment"].numpy())[0]
    order = [description.heads[0].labels.index(label) for label in labels]
    assert now.tolist() == pytest.approx(then[order].tolist(), abs=1e-5)
    kept = weights_to_keep(start, prepared.trainer.classifier, prepared.description.heads)
    assert torch.equal(kept["heads.sentiment.bias"], prepared.trainer.classifier.heads["sentiment"].bias)


def test_a_head_that_learns_and_is_not_fitted_keeps_its_temperature_and_learns_from_its_offsets_on(
    finished: Path, tmp_path: Path
) -> None:
    start = calibrated(finished, tmp_path / "calibrated")
    options = configuration(start, make_data(tmp_path / "data", rows=40), tmp_path / "out")
    prepared = run.prepare(Options.model_validate(options))
    before, _, description = load_checkpoint(start)
    assert prepared.fitted == set()
    without = description.heads[0].model_copy(update={"offsets": []})
    assert prepared.description.heads == [without, *description.heads[1:]]
    moved = before.heads["sentiment"].bias + 2.0 * torch.tensor(description.heads[0].offsets)
    assert torch.equal(prepared.trainer.classifier.heads["sentiment"].bias, moved)


def test_a_head_that_does_not_learn_keeps_its_offsets(finished: Path, tmp_path: Path) -> None:
    start = calibrated(finished, tmp_path / "calibrated")
    options = configuration(
        start, make_data(tmp_path / "data", rows=40), tmp_path / "out", learning_heads=["topics"]
    )
    prepared = run.prepare(Options.model_validate(options))
    before, _, description = load_checkpoint(start)
    assert prepared.description.heads == description.heads
    assert torch.equal(prepared.trainer.classifier.heads["sentiment"].bias, before.heads["sentiment"].bias)


def test_a_head_that_gets_layers_of_its_own_keeps_what_was_fitted_to_it(
    finished: Path, tmp_path: Path
) -> None:
    options = configuration(finished / "model", make_data(tmp_path / "data", rows=40), tmp_path / "out")
    options["heads"][2]["own_layers"] = 1
    prepared = run.prepare(Options.model_validate(options))
    _, _, before = load_checkpoint(finished / "model")
    assert before.heads[2].temperature != 1.0
    assert prepared.description.heads[2] == before.heads[2].model_copy(update={"own_layers": 1})


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
