"""A bundle read back: who has it needs no checkpoint to train on, or to export for another device."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_checkpoint import run_export
from tiny_run import BAD

from stream.bundle import CARD, Bundle, load_bundle, write_manifest
from stream.engine.encoding import Encoding
from stream.evaluation.rows import Row, write_rows
from training.model import CheckpointError, load_checkpoint, new_classifier
from training.prediction import predict
from training.restoration import RestorationError, read_weights


@pytest.mark.parametrize(("precision", "tolerance"), [("int8", 1 / 60), ("fp16", 1e-3), ("fp32", 1e-6)])
def test_the_weights_are_those_of_the_checkpoint_in_the_precision_of_the_bundle(
    checkpoint: Path, bundles: dict[str, Bundle], precision: str, tolerance: float
) -> None:
    known = load_checkpoint(checkpoint)[0].state_dict()
    found = load_checkpoint(bundles[precision].folder)[0].state_dict()
    assert set(found) == set(known)
    for name, value in known.items():
        assert (found[name] - value).abs().max() <= tolerance * value.abs().max().clamp(min=1e-3), name


def test_a_bundle_says_of_itself_what_its_checkpoint_said(
    checkpoint: Path, bundles: dict[str, Bundle]
) -> None:
    description = load_checkpoint(checkpoint)[2]
    found = load_checkpoint(bundles["int8"].folder)[2]
    manifest = bundles["int8"].manifest
    assert found == description.model_copy(update={"heads": manifest.heads, "profile": manifest.profile})


def test_a_bundle_that_is_read_back_and_exported_judges_as_before(
    checkpoint: Path, bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    rows = checkpoint.parent / "test.jsonl"
    result = run_export(bundles["int8"].folder, "--out", tmp_path / "again", "--evaluation", rows)
    assert result.exit_code == 0, result.output
    once, again = (
        read_weights(folder / "model.onnx") for folder in (bundles["int8"].folder, tmp_path / "again")
    )
    assert set(once) == set(again)
    for name, value in once.items():
        np.testing.assert_allclose(value, again[name], atol=1e-6, err_msg=name)


def test_a_bundle_for_cpus_becomes_one_for_gpus(
    checkpoint: Path, bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    rows = checkpoint.parent / "test.jsonl"
    out = tmp_path / "fp16"
    result = run_export(bundles["int8"].folder, "--out", out, "--precision", "fp16", "--evaluation", rows)
    assert result.exit_code == 0, result.output
    assert load_bundle(out).manifest.precision == "fp16"


def test_what_a_bundle_knew_of_its_texts_and_of_its_calibration_is_carried_over(
    bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    old = tmp_path / "calibrated"
    shutil.copytree(bundles["int8"].folder, old)
    figures = {"accuracy": 0.5, "macro_f1": 0.5, "log_loss": 0.5}
    measured = {"from": "0123", "heads": {"sentiment": {"before": figures, "after": figures}}}
    manifest = bundles["int8"].manifest
    metrics = manifest.metrics | {"calibration": measured}
    write_manifest(old, manifest.model_copy(update={"metrics": metrics}))
    rows = tmp_path / "rows.jsonl"
    write_rows(rows, [Row(f"{word} {number}", "desk", "en") for word in BAD for number in range(5)])
    result = run_export(old, "--out", tmp_path / "gpu", "--precision", "fp16", "--evaluation", rows)
    assert result.exit_code == 0, result.output
    again = load_bundle(tmp_path / "gpu").manifest
    assert again.profile == manifest.profile
    assert again.metrics["calibration"] == measured
    card = (tmp_path / "gpu" / CARD).read_text(encoding="utf-8")
    assert "from bundle 0123" in card
    assert "against a bundle in int8 that was read back" in card
    assert "The checkpoint that it was first exported from" in card


def test_training_goes_on_from_a_bundle(bundles: dict[str, Bundle]) -> None:
    folder = bundles["fp32"].folder
    earlier, _, description = load_checkpoint(folder)
    model = new_classifier(str(folder), description.heads, dropout=0.0).eval()
    texts = [Encoding([2, 5, 9, 3], [[1]]), Encoding([2, 6, 3], [])]
    before = predict(earlier, description.heads, texts, description.padding_id, 2)
    now = predict(model, description.heads, texts, description.padding_id, 2)
    for name, logits in before.items():
        np.testing.assert_array_equal(now[name], logits)


def test_what_little_is_learnt_from_a_bundle_in_whole_numbers_outlives_their_rounding(
    bundles: dict[str, Bundle],
) -> None:
    """All weights a third of a step larger: rounded they are so on average, and without scattering not at all."""
    file = bundles["int8"].folder / "model.onnx"
    exact, scattered = read_weights(file), read_weights(file, np.random.default_rng(0))
    name = "encoder.encoder.layer.0.intermediate.dense.weight"
    largest = np.abs(exact[name]).max(axis=1, keepdims=True)
    values = np.unique(np.abs(exact[name][0]))
    step = largest * (np.diff(values)[np.diff(values) > 1e-7].min() / largest[0])
    inner = np.abs(exact[name]) < largest

    def rounded(weights: np.ndarray) -> np.ndarray:
        return np.round(weights / step) * step

    np.testing.assert_allclose(rounded(scattered[name]), exact[name], atol=1e-6)
    assert (scattered[name] != exact[name])[inner].mean() > 0.99
    np.testing.assert_array_equal(scattered[name][~inner], exact[name][~inner])
    learnt = {
        kind: ((rounded(weights[name] + step / 3) - exact[name]) / step)[inner].mean()
        for kind, weights in {"exact": exact, "scattered": scattered}.items()
    }
    assert learnt["exact"] == pytest.approx(0.0, abs=0.01)
    assert learnt["scattered"] == pytest.approx(1 / 3, abs=0.05)


def test_only_what_will_learn_of_a_bundle_in_whole_numbers_is_scattered(bundles: dict[str, Bundle]) -> None:
    folder = bundles["int8"].folder
    exact, _, description = load_checkpoint(folder)
    model = new_classifier(str(folder), description.heads, 0.0, ["entity_sentiment"])
    before = exact.state_dict()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("heads.entity_sentiment.") for name in moved)


def test_a_bundle_that_does_not_tell_its_encoders_shape_is_refused(
    bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    for file in bundles["int8"].folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_manifest(tmp_path, bundles["int8"].manifest.model_copy(update={"encoder_configuration": {}}))
    with pytest.raises(CheckpointError, match="does not tell the encoder's shape"):
        load_checkpoint(tmp_path)


def test_a_damaged_bundle_is_not_read(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    for file in bundles["int8"].folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "tokenizer.json").write_text(json.dumps({}))
    with pytest.raises(CheckpointError, match="damaged or tampered with"):
        load_checkpoint(tmp_path)


def test_a_graph_of_something_else_is_refused(tmp_path: Path) -> None:
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(RestorationError, match="names no parameter"):
        read_weights(tmp_path / "other.onnx")
