"""Answers that hold under other dropout."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import configuration, make_data, make_encoder, write_configuration

from training import run
from training.configuration import read_configuration
from training.consistency import disagreement

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
    middle = torch.tensor([[True, False, False]])
    assert float(disagreement(one, other, middle, "multi")) == 0.0


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
