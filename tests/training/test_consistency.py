"""Answers that hold under other dropout."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_run import configuration, make_data, make_encoder, write_configuration

from training import run
from training.configuration import Head, read_configuration
from training.consistency import disagreement, disagreement_loss
from training.trainer import FineTuner, total_loss

ALL = torch.ones((1, 3), dtype=torch.bool)


def test_who_answers_the_same_twice_disagrees_in_nothing() -> None:
    answer = torch.tensor([[0.3, -1.0, 2.0]])
    for kind in ("single", "multi"):
        assert float(disagreement(answer, answer, ALL, kind)) == 0.0


def test_of_labels_that_exclude_each_other_only_their_differences_count_and_of_others_each() -> None:
    one, other = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[5.0, 6.0, 7.0]])
    assert float(disagreement(one, other, ALL, "single")) == pytest.approx(0.0, abs=1e-6)
    assert float(disagreement(one, other, ALL, "multi")) > 1.0


def test_disagreement_is_the_mean_of_both_divergences() -> None:
    one, other = torch.tensor([[0.0, 1.0, -1.0]]), torch.tensor([[1.0, 0.5, 0.0]])
    first, second = one.log_softmax(1), other.log_softmax(1)
    kl = torch.nn.functional.kl_div
    both = kl(first, second, log_target=True, reduction="sum") + kl(
        second, first, log_target=True, reduction="sum"
    )
    assert float(disagreement(one, other, ALL, "single")) == pytest.approx(float(both) / 2, rel=1e-5)


def test_of_what_is_not_known_of_a_row_no_agreement_is_asked() -> None:
    one, other = torch.tensor([[0.0, 3.0, 0.0]]), torch.tensor([[0.0, -3.0, 1.0]])
    assert float(disagreement(one, other, ~ALL, "single")) == 0.0
    first = torch.tensor([[True, False, False]])
    assert float(disagreement(one, other, first, "multi")) == 0.0


def test_answers_are_to_agree_on_a_label_that_excludes_the_known_ones_though_its_set_cannot_tell_it() -> None:
    one, other = torch.tensor([[0.0, 3.0, 0.0]]), torch.tensor([[0.0, -3.0, 0.0]])
    polar = torch.tensor([[True, False, True]])
    assert float(disagreement(one, other, polar, "single")) > 1.0


LABELS = ("negative", "neutral", "positive")
HEADS = [
    Head(name="sentiment", kind="single", labels=LABELS, weight=2.0),
    Head(name="towards", kind="single", labels=LABELS, scope="entity", weight=0.5),
]


def two_texts() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Two answers to a batch of two texts, the second with an entity and three times the weight; and the batch."""
    everything = torch.ones((2, 3), dtype=torch.bool)
    batch = {
        "input_ids": torch.ones((2, 4), dtype=torch.long),
        "attention_mask": torch.ones((2, 4), dtype=torch.long),
        "entity_text": torch.tensor([1]),
        "entity_mask": torch.ones((1, 4), dtype=torch.long),
        "weight": torch.tensor([1.0, 3.0]),
        "sentiment.allowed": torch.tensor([[True, False, False], [False, False, True]]),
        "sentiment.possible": everything,
        "towards.allowed": torch.tensor([[True, False, False]]),
        "towards.possible": everything[:1],
    }
    one = {
        "sentiment": torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        "towards": torch.tensor([[0.5, 0.0, 0.0]]),
    }
    other = {
        "sentiment": torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        "towards": torch.tensor([[0.0, 2.0, 0.0]]),
    }
    return one, other, batch


def test_disagreement_counts_by_the_weights_of_heads_and_of_texts_as_a_loss_does() -> None:
    one, other, batch = two_texts()
    of_texts = disagreement(one["sentiment"], other["sentiment"], batch["sentiment.possible"], "single")
    of_entity = disagreement(one["towards"], other["towards"], batch["towards.possible"], "single")
    expected = (2.0 * (of_texts[0] + 3.0 * of_texts[1]) + 0.5 * 3.0 * of_entity[0]) / 2
    assert float(disagreement_loss(one, other, batch, HEADS)) == pytest.approx(float(expected))


def test_a_text_costs_the_mean_of_its_two_answers_and_so_many_times_their_disagreement() -> None:
    one, other, batch = two_texts()
    answers = iter([one, other])
    asker: Any = SimpleNamespace(
        options=SimpleNamespace(consistency=0.7), teachers=None, classifier_heads=HEADS
    )
    asker._cost = partial(FineTuner._cost, asker)

    loss = FineTuner.compute_loss(asker, lambda **_: next(answers), batch)  # type: ignore[arg-type]

    mean = (total_loss(one, batch, HEADS) + total_loss(other, batch, HEADS)) / 2
    expected = mean + 0.7 * disagreement_loss(one, other, batch, HEADS)
    assert float(loss) == pytest.approx(float(expected))


def trained(root: Path, name: str, **changes: Any) -> dict[str, Any]:
    options = configuration(root / "encoder", root / "data", root / name, **changes)
    run.train(read_configuration(write_configuration(root / f"{name}.yaml", options), {}), resume=False)
    scores: dict[str, Any] = json.loads((root / name / "report.json").read_text(encoding="utf-8"))["scores"]
    return scores


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("consistency")
    make_encoder(folder / "encoder")
    make_data(folder / "data")
    return folder


def test_a_run_that_asks_for_steadier_answers_learns_all_heads(root: Path) -> None:
    scores = trained(root, "steadier", consistency=1.0)
    for head in ("sentiment", "topics", "entity_sentiment"):
        assert scores[head]["all"]["macro_f1"] > 0.85, head


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_on_a_gpu_a_run_learns_as_on_a_cpu(root: Path, precision: str) -> None:
    scores = trained(root, f"gpu_{precision}", device="auto", precision=precision, consistency=1.0)
    for head in ("sentiment", "topics", "entity_sentiment"):
        assert scores[head]["all"]["macro_f1"] > 0.85, head
