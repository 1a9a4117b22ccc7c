"""The classifier: an encoder, the mean of its token vectors, and one linear head per question.

A checkpoint is a folder that this module writes and reads, and `export` converts:

    model.safetensors   weights
    tokenizer.json      the encoder's tokenizer
    classifier.json     heads, the encoder's shape, what it was trained on, what it scores

Errors:
    CheckpointError     the folder is no checkpoint, or is incomplete
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils.hub import cached_file

from stream.bundle import TOKENIZER, Head

WEIGHTS = "model.safetensors"
DESCRIPTION = "classifier.json"


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message says which, why, and what to do."""


class Description(BaseModel):
    """What `classifier.json` says."""

    model_config = ConfigDict(extra="forbid")

    name: str
    encoder: str
    """Where the encoder came from."""
    encoder_configuration: dict[str, Any]
    heads: list[Head]
    maximum_tokens: int
    padding_id: int
    languages: list[str] = Field(default_factory=list)
    data: list[dict[str, Any]] = Field(default_factory=list)
    metrics: dict[str, Any] = Field(default_factory=dict)


class Classifier(nn.Module):
    """Encoder, mean pooling, dropout, one linear layer per head."""

    def __init__(self, encoder: PreTrainedModel, heads: Mapping[str, int], dropout: float) -> None:
        super().__init__()
        # What an encoder has above its last layer is not used, and would be saved untrained.
        if getattr(encoder, "pooler", None) is not None:
            encoder.register_module("pooler", None)
        self.encoder = encoder
        width: int = encoder.config.hidden_size
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in heads.items()})

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Logits per head, batch × labels, from token ids and mask, both batch × tokens."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        features = self.dropout(mean)
        return {name: head(features) for name, head in self.heads.items()}


def load_tokenizer(name: str) -> Tokenizer:
    """`tokenizer.json` of a folder or hub name, without padding or truncation of its own."""
    try:
        path = cached_file(name, TOKENIZER)
        assert path is not None  # only where asked not to raise
        tokenizer = Tokenizer.from_file(path)
    except OSError as error:
        raise CheckpointError(
            f"cannot get {TOKENIZER} of {name}: {_first_line(error)}; "
            "name a local folder, or a model of the hub that has it"
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def tokenize(tokenizer: Tokenizer, texts: list[str], maximum_tokens: int) -> list[list[int]]:
    """Token ids of each text, cut to `maximum_tokens` with the special tokens counted."""
    tokenizer.enable_truncation(maximum_tokens)
    try:
        return [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    finally:
        tokenizer.no_truncation()


def pad(token_ids: list[list[int]], padding_id: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask as tensors, batch × longest."""
    longest = max(len(ids) for ids in token_ids)
    input_ids = torch.full((len(token_ids), longest), padding_id, dtype=torch.long)
    mask = torch.zeros((len(token_ids), longest), dtype=torch.long)
    for row, ids in enumerate(token_ids):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        mask[row, : len(ids)] = 1
    return input_ids, mask


def new_classifier(encoder: str, heads: Mapping[str, int], dropout: float) -> Classifier:
    """A classifier on a pre-trained encoder (folder or hub name); its heads are still random."""
    try:
        pretrained = AutoModel.from_pretrained(encoder, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot load the encoder {encoder}: {_first_line(error)}") from error
    return Classifier(pretrained, heads, dropout)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def save_checkpoint(folder: Path, model: Classifier, tokenizer: Tokenizer, description: Description) -> None:
    """Write a checkpoint for `load_checkpoint`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    tokenizer.save(str(folder / TOKENIZER))
    (folder / DESCRIPTION).write_text(description.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_checkpoint(folder: Path) -> tuple[Classifier, Tokenizer, Description]:
    """Read a checkpoint, on the CPU and ready to predict; raise `CheckpointError`."""
    try:
        raw = (folder / DESCRIPTION).read_bytes()
        description = Description.model_validate_json(raw)
    except OSError as error:
        raise CheckpointError(
            f"no checkpoint at {folder}: cannot read {DESCRIPTION} ({error.strerror}); "
            "name a folder that `downtick train` wrote, such as runs/NAME/model"
        ) from error
    except ValidationError as error:
        raise CheckpointError(f"{folder / DESCRIPTION} is damaged: {error}") from error
    shape = dict(description.encoder_configuration)
    configuration = AutoConfig.for_model(shape.pop("model_type"), **shape)
    encoder = AutoModel.from_config(configuration)  # type: ignore[no-untyped-call]
    sizes = {head.name: len(head.labels) for head in description.heads}
    model = Classifier(encoder, sizes, dropout=0.0)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} does not fit: {error}") from error
    return model.eval(), load_tokenizer(str(folder)), description
