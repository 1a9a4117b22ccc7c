"""What a loss may ask of the model: only what is known of the row."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from training.losses import multi_label_loss, single_label_loss

LABELS = 3
numbers = st.floats(-30, 30, width=32)
logits = st.lists(numbers, min_size=LABELS, max_size=LABELS).map(lambda row: torch.tensor([row]))
masks = st.lists(st.booleans(), min_size=LABELS, max_size=LABELS).map(lambda row: torch.tensor([row]))


def everything() -> torch.Tensor:
    return torch.ones((1, LABELS), dtype=torch.bool)


@given(logits, st.integers(0, LABELS - 1))
def test_one_label_among_all_costs_the_cross_entropy(row: torch.Tensor, label: int) -> None:
    allowed = torch.zeros((1, LABELS), dtype=torch.bool)
    allowed[0, label] = True
    expected = functional.cross_entropy(row, torch.tensor([label]))
    assert single_label_loss(row, allowed, everything()).item() == pytest.approx(expected.item(), abs=1e-4)


@given(logits, masks, masks)
def test_a_loss_is_finite_and_never_negative(
    row: torch.Tensor, allowed: torch.Tensor, more: torch.Tensor
) -> None:
    possible = allowed | more
    if bool(possible.any()) and not bool(allowed.any()):
        allowed = possible
    for loss in (single_label_loss, multi_label_loss):
        value = loss(row, allowed, possible).item()
        assert -1e-5 <= value < float("inf")


@given(logits)
def test_what_rules_nothing_out_costs_nothing(row: torch.Tensor) -> None:
    assert single_label_loss(row, everything(), everything()).item() == pytest.approx(0, abs=1e-5)


def test_a_set_without_neutral_does_not_teach_that_its_texts_are_not_neutral() -> None:
    row = torch.zeros((1, LABELS), requires_grad=True)
    positive = torch.tensor([[False, False, True]])
    polar = torch.tensor([[True, False, True]])
    single_label_loss(row, positive, polar).sum().backward()
    assert row.grad is not None
    assert row.grad[0, 1] == 0
    assert row.grad[0, 0] > 0 > row.grad[0, 2]


def test_not_negative_pushes_only_negative_down() -> None:
    row = torch.tensor([[1.0, 0.5, -0.5]], requires_grad=True)
    single_label_loss(row, torch.tensor([[False, True, True]]), everything()).sum().backward()
    assert row.grad is not None
    assert row.grad[0, 0] > 0
    assert row.grad[0, 1] < 0
    assert row.grad[0, 2] < 0


def test_a_row_that_knows_nothing_gives_no_gradient() -> None:
    nothing = torch.zeros((1, LABELS), dtype=torch.bool)
    for loss in (single_label_loss, multi_label_loss):
        row = torch.tensor([[3.0, -1.0, 0.5]], requires_grad=True)
        value = loss(row, nothing, nothing)
        value.sum().backward()
        assert value.item() == 0
        assert row.grad is not None
        assert not row.grad.any()


def test_a_topic_that_the_set_cannot_tell_is_neither_taught_present_nor_absent() -> None:
    row = torch.zeros((1, LABELS), requires_grad=True)
    multi_label_loss(
        row, torch.tensor([[True, False, False]]), torch.tensor([[True, True, False]])
    ).sum().backward()
    assert row.grad is not None
    assert row.grad[0, 0] < 0 < row.grad[0, 1]
    assert row.grad[0, 2] == 0
