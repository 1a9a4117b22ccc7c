"""A smaller model that learns from larger ones: fewer layers of an encoder, and the answers of teachers.

Sources:
    DistilBERT, Sanh et al. 2019       every other layer of the teacher to begin with
    Hinton, Vinyals and Dean 2015      softened answers; the square of the temperature keeps gradients alike
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from stream.bundle import ENTITY_INPUTS, TEXT_INPUTS
from stream.bundle import Head as BundleHead
from training.configuration import Head
from training.model import CheckpointError, Classifier, fold_offsets, load_checkpoint


def keep_layers(encoder: PreTrainedModel, count: int) -> None:
    """Leave `count` of the encoder's layers, evenly spread, the first and the last among them."""
    config = encoder.config
    stacks = [
        (module, name, child)
        for module in encoder.modules()
        for name, child in module.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == config.num_hidden_layers
    ]
    # Where layers differ in kind, those that stay would be taken for others when they are read again.
    alike = not hasattr(config, "layer_types")
    if len(stacks) != 1 or not alike or not 1 <= count <= config.num_hidden_layers:
        raise CheckpointError(
            f"cannot keep {count} layers of an encoder of {config.num_hidden_layers} ({config.model_type})"
        )
    ((parent, name, stack),) = stacks
    places = [round(place) for place in torch.linspace(0, len(stack) - 1, count).tolist()]
    parent.register_module(name, nn.ModuleList(stack[place] for place in places))
    config.num_hidden_layers = count


def weights_to_keep(start: Path, model: Classifier, heads: Sequence[BundleHead]) -> dict[str, Tensor]:
    """The weights of the checkpoint that a model with these heads began with, by the order of their labels, and
    with the offsets that they no longer have.

    `CheckpointError` where they are not of its shape, or a head has other labels there.
    """
    # A model is made with random weights at first: what the run draws must not hang on that.
    with torch.random.fork_rng(devices=[]):
        earlier, _, description = load_checkpoint(start)
    fold_offsets(earlier, description.heads, [head.name for head in heads if not head.offsets])
    labels = {head.name: head.labels for head in description.heads}
    weights, own = earlier.state_dict(), model.state_dict()
    if {name: value.shape for name, value in weights.items()} != {
        name: value.shape for name, value in own.items()
    }:
        raise CheckpointError(f"the weights of {start} cannot be kept: its heads or its layers are others")
    for head in heads:
        if set(labels[head.name]) != set(head.labels):
            raise CheckpointError(
                f"the weights of {start} cannot be kept: {head.name} has the labels "
                f"{', '.join(labels[head.name])} there, and not {', '.join(head.labels)}"
            )
        order = [labels[head.name].index(label) for label in head.labels]
        last = earlier.last_layer(head.name)
        with torch.no_grad():
            last.weight.copy_(last.weight[order])
            last.bias.copy_(last.bias[order])
    return earlier.state_dict()


def mix_weights(model: Classifier, start: Mapping[str, Tensor], share: float) -> None:
    """Make the model's weights the mean of its own and, with that share, those that it began with.

    What was learnt stays, and less of what was known before is lost (Wortsman et al. 2022, "Robust fine-tuning
    of zero-shot models").
    """
    own = model.state_dict()
    for name, value in start.items():
        if value.is_floating_point():
            own[name].lerp_(value.to(own[name].device), share)


ORIGINAL = "original_"
"""Begins the names of a batch's texts as they stand, before names in them were exchanged."""


class Teachers:
    """Checkpoints whose mean answers a student is to give, too: for each head, of those that have it.

    They read each text as it stands, also where the student reads it with other names: so it learns
    that names do not matter, whatever a teacher would make of them. And so they read it once, and what they
    answered is known in later passes.
    """

    def __init__(self, models: Sequence[Classifier], heads: Sequence[Head], temperature: float) -> None:
        self._models = [model.eval().requires_grad_(requires_grad=False) for model in models]
        self._heads = [head for head in heads if any(head.name in model.heads for model in models)]
        self._temperature = temperature
        self._known: dict[int, dict[str, NDArray[np.float32]]] = {}
        """By number of the text: the answers to it."""

    def answers(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their softened probabilities by head for `batch`, as `training.batches.collate` makes it.

        Texts × labels, or entities × labels.
        """
        numbers: list[int] = batch["number"].tolist()
        if not all(number in self._known for number in numbers):
            self._known |= dict(zip(numbers, self._ask(batch), strict=True))
        device = batch["weight"].device
        return {
            head.name: torch.from_numpy(
                np.concatenate([self._known[number][head.name] for number in numbers])
            ).to(device)
            for head in self._heads
        }

    def _ask(self, batch: Mapping[str, Tensor]) -> list[dict[str, NDArray[np.float32]]]:
        """The answers to each text, with one row for it, or one for each of its entities."""
        names = TEXT_INPUTS + ENTITY_INPUTS
        inputs = {name: batch[ORIGINAL + name] for name in names if ORIGINAL + name in batch}
        with torch.no_grad():
            told = [model.to(batch["weight"].device)(**inputs) for model in self._models]
        texts = len(batch["number"])
        entities = inputs.get("entity_text", torch.zeros(0, dtype=torch.long)).bincount(minlength=texts)
        starts = entities.cumsum(dim=0)[:-1].tolist()
        found: list[dict[str, NDArray[np.float32]]] = [{} for _ in range(texts)]
        for head in self._heads:
            logits = [answer[head.name].float() / self._temperature for answer in told if head.name in answer]
            if logits:
                of_each = [one.softmax(dim=1) if head.kind == "single" else one.sigmoid() for one in logits]
                rows = torch.stack(of_each).mean(dim=0).cpu().numpy()
            else:
                # A batch without entities.
                rows = np.zeros((0, len(head.labels)), dtype=np.float32)
            cuts = starts if head.scope == "entity" else list(range(1, texts))
            for own, answer in zip(found, np.split(rows, cuts), strict=True):
                own[head.name] = answer
        return found

    def loss(
        self, logits: Mapping[str, Tensor], batch: Mapping[str, Tensor], answers: Mapping[str, Tensor]
    ) -> Tensor:
        """Divergence of the student's answers from the teachers', weighted by head, per text of the batch.

        `logits` are the student's for `batch`. Sets without labels learn from this alone; the weight of a set
        counts as in the loss by labels.
        """
        weights = batch["weight"]
        total = torch.zeros((), device=weights.device)
        for head in self._heads:
            if head.name not in logits:
                continue
            each = self._divergence(head, logits[head.name].float(), answers[head.name])
            of_rows = weights[batch["entity_text"]] if head.scope == "entity" else weights
            total = total + head.weight * (each * of_rows).sum()
        return total / len(weights)

    def _divergence(self, head: Head, student: Tensor, wanted: Tensor) -> Tensor:
        """Per row, from logits and probabilities, both rows × labels."""
        scale = self._temperature
        if head.kind == "single":
            each = functional.kl_div((student / scale).log_softmax(dim=-1), wanted, reduction="none")
        else:
            each = functional.binary_cross_entropy_with_logits(student / scale, wanted, reduction="none")
        return each.sum(dim=1) * scale**2


def load_teachers(
    folders: Sequence[Path], heads: Sequence[Head], tokenizer: Tokenizer, temperature: float
) -> Teachers:
    """Read the teachers' checkpoints.

    `CheckpointError` where one has no head of the student's, or other labels, or reads other tokens.
    """
    wanted = {head.name: list(head.labels) for head in heads}
    models = []
    for folder in folders:
        model, own, description = load_checkpoint(folder)
        shared = [head for head in description.heads if head.name in wanted]
        if not shared or any(head.labels != wanted[head.name] for head in shared):
            raise CheckpointError(f"{folder} cannot teach: its heads or their labels are others")
        if own.to_str() != tokenizer.to_str():
            raise CheckpointError(f"{folder} cannot teach: its tokenizer is not the student's")
        models.append(model)
    return Teachers(models, heads, temperature)
