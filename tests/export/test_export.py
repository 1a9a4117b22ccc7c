"""From checkpoint to bundle: the same answers, or no bundle."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.transformers.float16 import convert_float_to_float16
from tiny_checkpoint import HEADS, LABELS, run_export

from export import conversion
from export.card import write_card
from export.conversion import run_session, session
from export.parity import Parity, compare
from export.profile import LEAST_ROWS
from export.writing import find_evaluation, read_evaluation
from stream.bundle import Bundle, load_bundle
from stream.engine.encoding import Encoding
from stream.evaluation.rows import Row, Split, Target, write_rows
from training.model import DESCRIPTION, Classifier


@pytest.mark.parametrize("precision", ["int8", "fp16", "fp32"])
def test_a_bundle_of_each_precision_gives_the_labels_of_the_checkpoint(
    bundles: dict[str, Bundle], precision: str
) -> None:
    manifest = bundles[precision].manifest
    assert manifest.precision == precision
    assert manifest.heads == HEADS
    measured = manifest.metrics["export"]["heads"]["sentiment"]
    assert measured["agreement"] == 1.0
    assert measured["macro_f1_after"] == measured["macro_f1_before"]
    assert measured["largest_difference"] < {"fp32": 1e-4, "fp16": 0.02, "int8": 0.3}[precision]


def test_a_cast_that_the_conversion_to_half_precision_makes_twice_is_kept_once(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_a_cast_twice(graph: onnx.ModelProto, **options: Any) -> onnx.ModelProto:
        # As ONNX Runtime before 1.32 does where two nodes want one value in full precision.
        half = convert_float_to_float16(graph, **options)
        half.graph.node.append(next(node for node in half.graph.node if node.op_type == "Cast"))
        return half

    monkeypatch.setattr(conversion, "convert_float_to_float16", with_a_cast_twice)
    result = run_export(checkpoint, "--out", tmp_path / "half", "--precision", "fp16")
    assert result.exit_code == 0, result.output
    made = [name for node in onnx.load(tmp_path / "half" / "model.onnx").graph.node for name in node.output]
    assert len(made) == len(set(made))


def test_two_casts_of_one_name_that_are_not_the_same_are_not_taken_for_one(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_another_cast(graph: onnx.ModelProto, **options: Any) -> onnx.ModelProto:
        half = convert_float_to_float16(graph, **options)
        half.graph.node.append(next(node for node in half.graph.node if node.op_type == "Cast"))
        half.graph.node[-1].attribute[0].i = onnx.TensorProto.DOUBLE
        return half

    monkeypatch.setattr(conversion, "convert_float_to_float16", with_another_cast)
    result = run_export(checkpoint, "--out", tmp_path / "half", "--precision", "fp16")
    assert "static assignment" in str(result.exception)
    assert not (tmp_path / "half").exists()


@pytest.mark.parametrize("precision", ["int8", "fp16", "fp32"])
def test_a_bundle_has_the_inputs_and_outputs_that_the_stream_relies_on(
    bundles: dict[str, Bundle], precision: str
) -> None:
    exported = session(bundles[precision].model)
    assert {(item.name, item.type) for item in exported.get_inputs()} == {
        ("input_ids", "tensor(int64)"),
        ("attention_mask", "tensor(int64)"),
        ("entity_text", "tensor(int64)"),
        ("entity_mask", "tensor(int64)"),
    }
    assert [(item.name, item.type) for item in exported.get_outputs()] == [
        ("sentiment", "tensor(float)"),
        ("topics", "tensor(float)"),
        ("entity_sentiment", "tensor(float)"),
    ]
    for texts, tokens, entities in [(1, 2, 1), (3, 5, 9), (7, 16, 2)]:
        ids = np.full((texts, tokens), 5, dtype=np.int64)
        inputs = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "entity_text": np.arange(entities) % texts,
            "entity_mask": np.ones((entities, tokens), dtype=np.int64),
        }
        outputs = exported.run(None, inputs)
        assert [output.shape for output in outputs] == [(texts, 3), (texts, 2), (entities, 3)]


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_neither_padding_nor_the_texts_beside_it_change_an_answer(
    bundles: dict[str, Bundle], precision: str
) -> None:
    exported = session(bundles[precision].model)
    short, long = Encoding([2, 5, 3], [[1]]), Encoding([2, 6, 7, 8, 9, 10, 11, 3], [])
    alone = run_session(exported, HEADS, [short], 0, 1)
    together = run_session(exported, HEADS, [short, long], 0, 2)
    np.testing.assert_allclose(alone["sentiment"][0], together["sentiment"][0], atol=1e-5)


def test_int8_weights_are_signed_per_channel_and_in_seven_bits(bundles: dict[str, Bundle]) -> None:
    """Eight bits saturate on a CPU without VNNI."""
    graph = onnx.load(bundles["int8"].model).graph
    tables = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulIntegerToFloat"]
    assert len(products) >= 12
    for node in products:
        weights = tables[node.input[1]]
        assert weights.dtype == np.int8
        assert np.abs(weights.astype(int)).max() == 63
        assert tables[node.input[3]].shape == (weights.shape[1],)


def test_int8_embeddings_are_stored_in_eight_bits(bundles: dict[str, Bundle]) -> None:
    graph = onnx.load(bundles["int8"].model).graph
    size = len(json.loads(bundles["int8"].tokenizer.read_text(encoding="utf-8"))["model"]["vocab"])
    [table] = [item for item in graph.initializer if list(item.dims) == [size, 32]]
    assert onnx.numpy_helper.to_array(table).itemsize == 1


def test_a_bundle_that_loses_too_much_is_not_written(
    checkpoint: Path, bundles: dict[str, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(bundles["int8"].folder, out)
    before = load_bundle(out).hash
    rows = tmp_path / "rows.jsonl"
    write_rows(rows, [Row("profit", "x", "en", {}), Row("loss", "x", "en", {})])

    def reverse(*arguments: Any) -> Any:
        return {head: -logits for head, logits in run_session(*arguments).items()}

    def spoil(_model: Classifier, _tokens: int, _precision: str, path: Path) -> None:
        shutil.copy(bundles["fp32"].model, path)

    monkeypatch.setattr("export.writing.convert", spoil)
    monkeypatch.setattr("export.writing.run_session", reverse)
    result = run_export(checkpoint, "--out", out, "--evaluation", rows)
    assert result.exit_code == 1
    assert "no bundle written" in result.output
    assert "sentiment: only" in result.output
    assert load_bundle(out).hash == before
    assert not list(tmp_path.glob(".bundle.*"))


def test_a_new_bundle_takes_the_place_of_the_old_one(
    checkpoint: Path, bundles: dict[str, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(bundles["int8"].folder, out)
    (out / "left-over.txt").write_text("of an older format", encoding="utf-8")
    monkeypatch.setattr(
        "export.writing.convert", lambda *arguments: shutil.copy(bundles["fp32"].model, arguments[-1])
    )
    assert run_export(checkpoint, "--out", out, "--precision", "fp32").exit_code == 0
    assert load_bundle(out).manifest.precision == "fp32"
    assert not (out / "left-over.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def compared(*answers: int) -> Parity:
    """A row of each label, judged right before the export, and as `answers` say after it."""
    rows = [
        Row(label, "x", "en", {"sentiment": Target(frozenset({label}), frozenset(LABELS))})
        for label in LABELS
    ]
    logits = np.eye(3, dtype=np.float32)
    return compare(HEADS[:1], {"sentiment": logits}, {"sentiment": logits[[*answers]]}, rows)


def test_lost_macro_f1_is_a_reason_to_refuse() -> None:
    parity = compared(1, 1, 1)
    assert parity.heads["sentiment"].loss == pytest.approx(5 / 6)
    assert parity.refusals(allowed_loss=0.9, minimum_agreement=0.3) == []
    [reason] = parity.refusals(allowed_loss=0.1, minimum_agreement=0.3)
    assert "macro-F1 falls from 1.0000 to 0.1667" in reason


def test_a_single_label_that_changes_is_no_reason_however_few_there_are() -> None:
    parity = compared(0, 1, 1)
    assert parity.heads["sentiment"].loss > 0.4
    assert parity.refusals(allowed_loss=0.1, minimum_agreement=0.95) == []


def test_logits_that_are_not_numbers_are_refused() -> None:
    broken = {"sentiment": np.array([[np.nan, 0, 0]], dtype=np.float32)}
    parity = compare(
        HEADS[:1], {"sentiment": np.zeros((1, 3), dtype=np.float32)}, broken, [Row("x", "x", "en")]
    )
    assert any("finite" in reason for reason in parity.refusals(1.0, 0.0))


def test_labels_are_compared_as_they_are_given_with_the_offsets_of_their_head() -> None:
    head = HEADS[0].model_copy(update={"temperature": 1.0, "offsets": [0.0, 5.0, 0.0]})
    before = {"sentiment": np.array([[1, 0, 0], [6, 0, 0]], dtype=np.float32)}
    after = {"sentiment": np.array([[0, 0, 1], [7, 0, 0]], dtype=np.float32)}
    rows = [Row("x", "x", "en"), Row("y", "x", "en")]
    assert compare([head], before, after, rows).heads["sentiment"].agreement == 1.0


def labelled(count: int, split: Split) -> list[Row]:
    return [Row(f"profit {split} word{number}", "words", "en", split=split) for number in range(count)]


@pytest.mark.parametrize(
    ("test", "valid", "found"),
    [(LEAST_ROWS, 50, {"test"}), (LEAST_ROWS - 1, 50, {"test", "valid"}), (0, 50, {"valid"})],
)
def test_where_a_run_has_few_test_rows_its_validation_rows_are_compared_too(
    tmp_path: Path, test: int, valid: int, found: set[str]
) -> None:
    write_rows(tmp_path / "test.jsonl", labelled(test, "test"))
    write_rows(tmp_path / "valid.jsonl", labelled(valid, "valid"))
    rows = read_evaluation(find_evaluation(tmp_path / "model"), HEADS, None)
    assert {row.split for row in rows} == found


def test_a_run_without_any_row_to_judge_by_asks_for_some(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "model")
    for name in ("test.jsonl", "valid.jsonl"):
        (tmp_path / name).touch()
    result = run_export(tmp_path / "model", "--out", tmp_path / "bundle")
    assert result.exit_code == 1
    assert (
        "neither test nor validation rows; name a file of rows to judge by with --evaluation" in result.output
    )


def test_of_few_rows_no_profile_is_made_and_an_earlier_one_is_kept(
    checkpoint: Path, bundles: dict[str, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(checkpoint, tmp_path / "model")
    described = json.loads((checkpoint / DESCRIPTION).read_text(encoding="utf-8"))
    known = {"language": {"en": 0.5, "zh": 0.5}}
    (tmp_path / "model" / DESCRIPTION).write_text(
        json.dumps(described | {"profile": known}), encoding="utf-8"
    )
    write_rows(tmp_path / "rows.jsonl", labelled(LEAST_ROWS - 1, "test"))
    monkeypatch.setattr(
        "export.writing.convert", lambda *arguments: shutil.copy(bundles["fp32"].model, arguments[-1])
    )
    for folder, profile in ((checkpoint, {}), (tmp_path / "model", known)):
        result = run_export(folder, "--out", tmp_path / "bundle", "--evaluation", tmp_path / "rows.jsonl")
        assert result.exit_code == 0, result.output
        assert load_bundle(tmp_path / "bundle").manifest.profile == profile
    assert "with --evaluation more could be compared" in result.output


def test_a_place_or_notes_that_cannot_be_used_end_in_one_message(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_bytes(b"\xff")
    for arguments in (
        ("--out", tmp_path / "notes.md" / "bundle"),
        ("--out", tmp_path / "bundle", "--notes", tmp_path / "notes.md"),
    ):
        result = run_export(checkpoint, *arguments)
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        assert str(tmp_path / "notes.md") in result.output


def test_the_card_names_data_licences_and_what_the_model_is_not_for(bundles: dict[str, Bundle]) -> None:
    card = (bundles["int8"].folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for wanted in (
        "| words | 200 | not stated |",
        "## Not for",
        "It knows ten words.",
        "0.980",
        "## What the export cost",
    ):
        assert wanted in card


def test_a_label_that_no_test_row_has_is_not_named_as_the_weakest(bundles: dict[str, Bundle]) -> None:
    labels = {
        name: {"rows": rows, "precision": f1, "recall": f1, "f1": f1}
        for name, rows, f1 in (("negative", 9, 0.7), ("neutral", 0, 0.0), ("positive", 9, 0.8))
    }
    metrics = {"checkpoint": {"sentiment": {"all": {"rows": 18, "labels": labels}}}}
    manifest = bundles["int8"].manifest.model_copy(update={"metrics": metrics})
    card = write_card(manifest, Parity(rows=18, heads={}), "")
    assert "lowest F1 by label: negative (0.70), positive (0.80)\n" in card


def test_a_bundle_knows_what_its_training_texts_were_like(bundles: dict[str, Bundle]) -> None:
    profile = bundles["int8"].manifest.profile
    assert profile["language"] == {"en": 0.6, "zh": 0.4}
    assert profile["sentiment"] == pytest.approx({"negative": 0.5, "positive": 0.5}, abs=0.02)
    assert set(profile) > {"tokens", "unknown tokens", "sentiment confidence"}


def test_a_bundle_has_no_trace_of_where_it_was_made(checkpoint: Path, bundles: dict[str, Bundle]) -> None:
    for bundle in bundles.values():
        for file in bundle.folder.iterdir():
            content = file.read_bytes()
            for trace in (bundle.folder.parent, checkpoint.parent, Path(__file__).parents[2]):
                assert str(trace).encode() not in content, f"{file.name} holds {trace}"


def test_a_shipped_tokenizer_neither_pads_nor_cuts(bundles: dict[str, Bundle]) -> None:
    tokenizer = json.loads(bundles["int8"].tokenizer.read_text(encoding="utf-8"))
    assert tokenizer["padding"] is None
    assert tokenizer["truncation"] is None


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda folder: (folder / "classifier.json").unlink(), "no checkpoint at"),
        (lambda folder: (folder / "classifier.json").write_text("{}"), "is damaged"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), "does not fit"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_ends_in_one_message(
    checkpoint: Path, tmp_path: Path, spoil: Any, complaint: str
) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    for file in checkpoint.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    spoil(copy)
    result = run_export(copy, "--out", tmp_path / "bundle", "--evaluation", checkpoint.parent / "test.jsonl")
    assert result.exit_code == 1
    assert complaint in result.output
    assert not (tmp_path / "bundle").exists()


def test_without_rows_to_judge_by_it_asks_for_them(checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "lonely" / "model"
    shutil.copytree(checkpoint, copy)
    result = run_export(copy, "--out", tmp_path / "bundle")
    assert result.exit_code == 1
    assert "--evaluation" in result.output


def test_a_folder_that_is_no_checkpoint_is_named_before_rows_are_asked_for(tmp_path: Path) -> None:
    result = run_export(tmp_path / "nothing", "--out", tmp_path / "bundle")
    assert result.exit_code == 1
    assert f"no checkpoint at {tmp_path / 'nothing'}" in result.output


def test_the_command_says_whether_to_switch_from_the_bundle_in_use(
    checkpoint: Path, bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    arguments = (checkpoint, "--out", tmp_path / "new", "--precision", "fp32", "--compare")
    result = run_export(*arguments, bundles["fp32"].folder)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith("stay: these rows show no clear difference")
    missing = run_export(*arguments, tmp_path / "nowhere")
    assert missing.exit_code == 1
    assert "Error: no bundle" in missing.output
