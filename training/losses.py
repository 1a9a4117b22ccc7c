"""Losses that ask of the model only what is known of a row."""

import torch
from torch import Tensor
from torch.nn import functional


def single_label_loss(logits: Tensor, allowed: Tensor, possible: Tensor) -> Tensor:
    """-log of the probability of the allowed labels among the possible ones, per row.

    `logits` (batch × labels), `allowed` ⊆ `possible` (bool, same shape) → (batch,). With one
    allowed label and all possible this is cross-entropy. A row without possible labels costs 0.
    Source: partial-label learning by summed probability, Jin and Ghahramani 2002.
    """
    known = possible.any(dim=1)
    # Rows that know nothing are computed as if all were allowed: 0, and no gradient of infinity.
    allowed = allowed | ~known.unsqueeze(1)
    possible = possible | ~known.unsqueeze(1)
    lowest = torch.finfo(logits.dtype).min
    numerator = logits.masked_fill(~allowed, lowest).logsumexp(dim=1)
    denominator = logits.masked_fill(~possible, lowest).logsumexp(dim=1)
    return (denominator - numerator) * known


def multi_label_loss(logits: Tensor, allowed: Tensor, possible: Tensor) -> Tensor:
    """Binary cross-entropy summed over the possible labels, per row; the others cost nothing.

    Shapes as for `single_label_loss`.
    """
    each = functional.binary_cross_entropy_with_logits(logits, allowed.to(logits.dtype), reduction="none")
    return (each * possible).sum(dim=1)
