"""Logits of many texts by a model that is in training or a checkpoint."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from stream.bundle import Head
from stream.engine.encoding import Encoding, pad
from stream.evaluation.prediction import Logits, by_length, complete, run_batches
from training.model import Classifier


def predict(
    model: Classifier,
    heads: Sequence[Head],
    encodings: Sequence[Encoding],
    padding_id: int,
    batch_size: int,
) -> Logits:
    """Logits per head, in the order of `encodings`. Leaves the model's mode as is.

    Call it under `torch.autocast` for mixed precision.
    """
    device = next(model.parameters()).device

    def run(batch: Sequence[Encoding]) -> dict[str, NDArray[np.float32]]:
        tensors = {name: torch.from_numpy(array).to(device) for name, array in pad(batch, padding_id).items()}
        return {head: logits.float().cpu().numpy() for head, logits in model(**tensors).items()}

    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            logits = run_batches(run, encodings, by_length(encodings, batch_size), heads)
    finally:
        model.train(training)
    complete(heads, logits, encodings)
    return logits
