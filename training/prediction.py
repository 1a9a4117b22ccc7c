"""Logits of many texts, in batches of like length."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from stream.engine.encoding import Encoding, Integers, pad
from training.model import Classifier

Logits = dict[str, NDArray[np.float32]]
Run = Callable[[Mapping[str, Integers]], Mapping[str, NDArray[np.float32]]]


def predict(
    model: Classifier,
    encodings: Sequence[Encoding],
    padding_id: int,
    batch_size: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Logits:
    """Logits per head, in the order of `encodings`. Leaves the model's mode as is.

    Of a head over texts they are texts × labels, of one over entities: all texts' entities × labels.
    Call it under `torch.autocast` for mixed precision; `progress` gets the texts done so far.
    """
    device = next(model.parameters()).device

    def run(batch: Mapping[str, Integers]) -> dict[str, NDArray[np.float32]]:
        tensors = {name: torch.from_numpy(array).to(device) for name, array in batch.items()}
        return {head: logits.float().cpu().numpy() for head, logits in model(**tensors).items()}

    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            return run_batches(
                run, encodings, padding_id, batch_size, entity_heads=model.entity_heads, progress=progress
            )
    finally:
        model.train(training)


def run_batches(
    run: Run,
    encodings: Sequence[Encoding],
    padding_id: int,
    batch_size: int,
    *,
    entity_heads: Sequence[str],
    progress: Callable[[int], None] = lambda _: None,
) -> Logits:
    """The answers of `run` to batches of like length, put back into the order of `encodings`."""
    order = sorted(range(len(encodings)), key=lambda index: len(encodings[index].ids))
    counts = np.array([len(one.entities) for one in encodings])
    starts = np.concatenate([[0], np.cumsum(counts)])
    results: Logits = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        entities = [place for index in chosen for place in range(starts[index], starts[index + 1])]
        for head, logits in run(pad([encodings[index] for index in chosen], padding_id)).items():
            of_entities = head in entity_heads
            if head not in results:
                rows = int(counts.sum()) if of_entities else len(order)
                results[head] = np.zeros((rows, logits.shape[1]), dtype=np.float32)
            results[head][entities if of_entities else chosen] = logits
        progress(min(start + batch_size, len(order)))
    return results
