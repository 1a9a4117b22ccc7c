"""A smaller model that learns from a larger one."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny_run import configuration, make_data, make_encoder, write_configuration

from stream.evaluation.rows import Entity, Row, read_rows
from training import run
from training.augmentation import NameSwap
from training.batches import Encoded, collate
from training.cli import train
from training.configuration import read_configuration, resolve_heads
from training.distillation import Teachers, keep_layers, load_teachers, mix_weights, weights_to_keep
from training.encoding import encode_rows
from training.model import CheckpointError, Classifier, load_checkpoint, new_classifier, save_checkpoint
from training.prediction import predict

# Of the tiny run's sets the one that knows no neutral.
BOARD = configuration(Path(), Path(), Path())["data"][1]


def options(root: Path, output: str, **changes: Any) -> Any:
    path = write_configuration(
        root / f"{output}.yaml", configuration(root / "encoder", root / "data", root / output, **changes)
    )
    return read_configuration(path, {})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder, data, and the finished run of a teacher."""
    folder = tmp_path_factory.mktemp("distillation")
    make_encoder(folder / "encoder")
    make_data(folder / "data")
    run.train(options(folder, "teacher"), resume=False)
    return folder


def layers(model: Classifier) -> list[Any]:
    return list(model.encoder.encoder.layer)


def test_the_layers_that_stay_are_spread_evenly_from_first_to_last(root: Path) -> None:
    model = new_classifier(str(root / "encoder"), resolve_heads(options(root, "unused")), dropout=0.0)
    twelve = torch.nn.ModuleList(copy.deepcopy(layers(model)[0]) for _ in range(12))
    model.encoder.encoder.layer = twelve
    model.encoder.config.num_hidden_layers = 12
    keep_layers(model.encoder, 6)
    assert [list(twelve).index(layer) for layer in layers(model)] == [0, 2, 4, 7, 9, 11]
    assert model.encoder.config.num_hidden_layers == 6


def test_more_layers_than_there_are_cannot_stay(root: Path) -> None:
    model = new_classifier(str(root / "encoder"), resolve_heads(options(root, "unused")), dropout=0.0)
    with pytest.raises(CheckpointError, match="cannot keep 3 layers of an encoder of 2"):
        keep_layers(model.encoder, 3)


def test_who_answers_as_the_teachers_do_has_nothing_to_learn_from_them(root: Path) -> None:
    heads = resolve_heads(options(root, "unused"))
    teacher, _, _ = load_checkpoint(root / "teacher" / "model")
    batch = {
        "original_input_ids": torch.tensor([[2, 5, 9, 3]]),
        "original_attention_mask": torch.ones((1, 4), dtype=torch.long),
        "number": torch.tensor([7]),
        "weight": torch.ones(1),
    }
    single = [head for head in heads if head.kind == "single"]
    teachers = Teachers([teacher], single, temperature=2.0)
    same = teacher(batch["original_input_ids"], batch["original_attention_mask"])
    other = {name: -values for name, values in same.items()}
    answers = teachers.answers(batch)
    assert float(teachers.loss(same, batch, answers)) == pytest.approx(0.0, abs=1e-6)
    assert float(teachers.loss(other, batch, answers)) > 0.1


def test_a_share_of_the_weights_that_it_began_with_stays(root: Path) -> None:
    start = root / "teacher" / "model"
    before, _, description = load_checkpoint(start)
    moved, _, _ = load_checkpoint(start)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(1.0)
    mix_weights(moved, weights_to_keep(start, moved, description.heads), 0.25)
    for old, new in zip(before.parameters(), moved.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.75)


def test_weights_are_kept_by_their_labels_and_not_by_the_order_of_these(root: Path) -> None:
    start = root / "teacher" / "model"
    before, _, description = load_checkpoint(start)
    turned = [head.model_copy(update={"labels": head.labels[::-1]}) for head in description.heads]
    kept = weights_to_keep(start, before, turned)
    again = new_classifier(str(start), turned, dropout=0.0)
    for name, value in again.state_dict().items():
        assert torch.equal(kept[name], value), name


def test_weights_of_other_labels_cannot_be_kept(root: Path) -> None:
    start = root / "teacher" / "model"
    model, _, description = load_checkpoint(start)
    others = [head.model_copy(update={"labels": ["x", *head.labels[1:]]}) for head in description.heads]
    with pytest.raises(CheckpointError, match="sentiment has the labels negative, neutral, positive there"):
        weights_to_keep(start, model, others)


def test_a_run_keeps_the_share_that_it_was_told_to(root: Path) -> None:
    start = root / "teacher" / "model"
    changes = {"encoder": str(start), "epochs": 1}
    free, kept = (
        load_checkpoint(
            run.train(options(root, f"kept{share}", **changes, keep_weights=share), resume=False)
        )[0]
        for share in (0.0, 0.5)
    )
    before, _, _ = load_checkpoint(start)
    for name, value in kept.state_dict().items():
        middle = (free.state_dict()[name] + before.state_dict()[name]) / 2
        torch.testing.assert_close(value, middle, atol=1e-4, rtol=1e-3)


def test_weights_of_another_shape_cannot_be_kept_and_that_is_said_before_the_work(root: Path) -> None:
    wrong = options(root, "shape", encoder=str(root / "teacher" / "model"), layers=1, keep_weights=0.5)
    with pytest.raises(CheckpointError, match="cannot be kept: its heads or its layers are others"):
        run.train(wrong, resume=False)


def test_each_head_learns_from_the_teachers_that_have_it(root: Path) -> None:
    heads = [head for head in resolve_heads(options(root, "unused")) if head.scope == "text"]
    model, tokenizer, description = load_checkpoint(root / "teacher" / "model")
    alone = [head for head in description.heads if head.name == "sentiment"]
    expert = Classifier(model.encoder, alone, dropout=0.0)
    save_checkpoint(root / "expert", expert, tokenizer, description.model_copy(update={"heads": alone}))
    batch = {
        "original_input_ids": torch.tensor([[2, 5, 9, 3]]),
        "original_attention_mask": torch.ones((1, 4), dtype=torch.long),
        "number": torch.tensor([7]),
        "weight": torch.ones(1),
    }
    inputs = (batch["original_input_ids"], batch["original_attention_mask"])
    student = {name: torch.zeros_like(logits) for name, logits in model(*inputs).items()}

    def loss_by(*names: str) -> float:
        teachers = load_teachers([root / name for name in names], heads, tokenizer, temperature=1.0)
        return float(teachers.loss(student, batch, teachers.answers(batch)))

    (weight,) = (head.weight for head in heads if head.name == "sentiment")
    expected = {
        name: answers["sentiment"].softmax(dim=-1)
        for name, answers in (("expert", expert(*inputs)), ("teacher", model(*inputs)))
    }
    uniform = torch.full_like(expected["expert"], 1 / expected["expert"].shape[1])

    def divergence(wanted: torch.Tensor) -> float:
        return weight * float((wanted * (wanted / uniform).log()).sum().detach())

    assert loss_by("expert") == pytest.approx(divergence(expected["expert"]), abs=1e-5)
    of_others = loss_by("teacher/model") - divergence(expected["teacher"])
    assert of_others > 0.01
    mean = (expected["expert"] + expected["teacher"]) / 2
    assert loss_by("expert", "teacher/model") == pytest.approx(of_others + divergence(mean), abs=1e-5)


def test_the_teachers_read_the_names_that_stand_in_the_text_and_the_student_others(root: Path) -> None:
    rows = [
        Row(f"{name} warns of fraud", "news", "en", entities=(Entity(name, ((0, len(name)),), {}),))
        for name in ("Acme", "Globex Holding")
    ]
    heads = resolve_heads(options(root, "unused"))
    _, tokenizer, description = load_checkpoint(root / "teacher" / "model")
    encoded = Encoded(rows, heads, tokenizer, 32, swap=NameSwap(rows, seed=1), swap_share=1.0)
    batch = collate([encoded[0]], description.padding_id, taught=True)
    plain, swapped = (encode_rows(tokenizer, [row], 32)[0].ids for row in rows)
    assert batch["original_input_ids"].tolist() == [plain]
    assert batch["input_ids"].tolist() == [swapped]


def test_the_teachers_read_a_text_once_whatever_else_is_in_its_batch(root: Path) -> None:
    rows = [
        Row("Acme warns of fraud", "news", "en", entities=(Entity("Acme", ((0, 4),), {}),)),
        Row("nothing is named here", "news", "en"),
        Row(
            "Acme sues Globex",
            "news",
            "en",
            entities=(Entity("Acme", ((0, 4),), {}), Entity("Globex", ((10, 16),), {})),
        ),
    ]
    heads = resolve_heads(options(root, "unused"))
    teacher, tokenizer, description = load_checkpoint(root / "teacher" / "model")
    encoded = Encoded(rows, heads, tokenizer, 32)
    batches = [
        collate([encoded[index] for index in order], description.padding_id, taught=True)
        for order in ([0, 1], [2], [2, 1, 0], [1])
    ]
    teachers = Teachers([teacher], heads, temperature=1.0)
    reads = []
    teacher.register_forward_hook(lambda *_: reads.append(1))
    told = [teachers.answers(batch) for batch in batches]
    assert len(reads) == 2
    for batch, answers in zip(batches, told, strict=True):
        inputs = {
            name.removeprefix("original_"): batch[name] for name in batch if name.startswith("original_")
        }
        expected = teacher(**inputs)
        for head in heads:
            if head.name in expected:
                logits = expected[head.name]
                wanted = logits.softmax(dim=1) if head.kind == "single" else logits.sigmoid()
                torch.testing.assert_close(answers[head.name], wanted, atol=1e-5, rtol=1e-4)
            else:
                assert answers[head.name].shape == (0, len(head.labels))


def test_a_student_learns_from_texts_without_labels_what_only_its_teacher_knows(root: Path) -> None:
    student = options(
        root,
        "student",
        layers=1,
        teachers=[str(root / "teacher" / "model")],
        teacher_share=0.9,
        # No labels tell of neutral texts, and the sets of topics and pairs are left out.
        data=[
            BOARD,
            {"name": "unlabelled", "files": {"train": "news.jsonl"}, "licence": "MIT"},
        ],
    )
    model, tokenizer, description = load_checkpoint(run.train(student, resume=False))
    assert len(layers(model)) == 1
    assert {item["name"] for item in description.data} == {"board", "unlabelled"}
    rows = [row for row in read_rows(root / "teacher" / "test.jsonl") if row.source == "news"]
    encodings = encode_rows(tokenizer, rows, description.maximum_tokens)
    logits = predict(model, description.heads, encodings, description.padding_id, 32)["sentiment"]
    answers = [description.heads[0].labels[index] for index in logits.argmax(axis=1)]
    wanted = [next(iter(row.targets["sentiment"].allowed)) for row in rows]
    right = np.array([answer == label for answer, label in zip(answers, wanted, strict=True)])
    assert right[[label == "neutral" for label in wanted]].mean() > 0.8


def test_texts_without_labels_are_left_out_where_nobody_teaches(root: Path) -> None:
    plain = options(root, "plain", epochs=1)
    plain.data.append(plain.data[0].model_copy(update={"name": "unlabelled", "labels": {}}))
    _, _, description = load_checkpoint(run.train(plain, resume=False))
    assert "unlabelled" not in {item["name"] for item in description.data}


def test_a_teacher_with_other_heads_is_refused(root: Path) -> None:
    heads = [{"name": "sentiment", "kind": "single", "labels": ["negative", "positive"]}]
    path = write_configuration(
        root / "wrong.yaml",
        configuration(
            root / "encoder",
            root / "data",
            root / "wrong",
            heads=heads,
            data=[BOARD],
            teachers=[str(root / "teacher" / "model")],
        ),
    )
    result = CliRunner().invoke(train, ["--config", str(path)])
    assert result.exit_code == 1
    assert "cannot teach: its heads or their labels are others" in result.output


def test_what_a_configuration_does_not_say_its_base_says(tmp_path: Path) -> None:
    base = configuration(tmp_path / "encoder", tmp_path / "data", tmp_path / "out")
    write_configuration(tmp_path / "base.yaml", base)
    path = write_configuration(tmp_path / "own.yaml", {"base": "base.yaml", "layers": 1, "name": "own"})
    found = read_configuration(path, {})
    assert (found.name, found.layers, found.batch_size) == ("own", 1, base["batch_size"])
