"""Logits of many texts, in batches of like length."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from training.model import Classifier, pad

Logits = dict[str, NDArray[np.float32]]


def predict(
    model: Classifier,
    token_ids: list[list[int]],
    padding_id: int,
    batch_size: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Logits:
    """Logits per head (texts × labels), in the order of `token_ids`. Leaves the model's mode as is.

    Call it under `torch.autocast` for mixed precision; `progress` gets the texts done so far.
    """
    device = next(model.parameters()).device
    order = sorted(range(len(token_ids)), key=lambda index: len(token_ids[index]))
    results: Logits = {}
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                input_ids, mask = pad([token_ids[index] for index in chosen], padding_id)
                for head, logits in model(input_ids.to(device), mask.to(device)).items():
                    if head not in results:
                        results[head] = np.zeros((len(order), logits.shape[1]), dtype=np.float32)
                    results[head][chosen] = logits.float().cpu().numpy()
                progress(min(start + batch_size, len(order)))
    finally:
        model.train(training)
    return results
