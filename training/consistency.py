"""Steadier answers: two passes over a text, with other dropout, are to agree.

Source: R-Drop, Liang et al. 2021, "Regularized Dropout for Neural Networks".
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from training.configuration import Head


def disagreement(one: Tensor, other: Tensor, possible: Tensor, kind: str) -> Tensor:
    """Mean of both divergences between two answers, per row of which anything is known; of others 0.

    Logits and `possible` (bool) are rows × labels. Of labels that exclude each other all are to agree, also those
    that the row's set cannot tell; of others those that it can.
    """
    if kind == "single":
        known = possible.any(dim=1)
        first, second = one.log_softmax(dim=1), other.log_softmax(dim=1)
        each = (first.exp() - second.exp()) * (first - second)
        return each.sum(dim=1) / 2 * known
    # The same for each label by itself, since they do not exclude each other.
    each = (one.sigmoid() - other.sigmoid()) * (one - other)
    return (each * possible).sum(dim=1) / 2


def disagreement_loss(
    one: Mapping[str, Tensor], other: Mapping[str, Tensor], batch: Mapping[str, Tensor], heads: Sequence[Head]
) -> Tensor:
    """The heads' disagreement between two passes over a batch, weighted as their losses are, per text."""
    weights = batch["weight"]
    total = torch.zeros((), device=weights.device)
    for head in heads:
        if head.name not in one:
            continue
        each = disagreement(
            one[head.name].float(), other[head.name].float(), batch[f"{head.name}.possible"], head.kind
        )
        of_rows = weights[batch["entity_text"]] if head.scope == "entity" else weights
        total = total + head.weight * (each * of_rows.to(each.dtype)).sum()
    return total / len(weights)
