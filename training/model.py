"""The classifier: an encoder, means of its token vectors, and one small head per question.

A checkpoint is a folder that this module writes and reads, and `export` converts:

    model.safetensors   weights
    tokenizer.json      the encoder's tokenizer
    classifier.json     heads, the encoder's shape, what it was trained on, what it scores

A bundle can stand wherever a checkpoint can: its weights are read back (`training/restoration.py`).

Errors:
    CheckpointError     the folder is neither a checkpoint nor a bundle, or is incomplete
"""

import copy
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils.hub import cached_file

from stream.bundle import MANIFEST, MODEL, TOKENIZER, BundleError, Head, Scope, load_bundle
from stream.drift import Profile
from stream.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from stream.reading import Reading
from training.restoration import RestorationError, read_weights

WEIGHTS = "model.safetensors"
DESCRIPTION = "classifier.json"


class HeadShape(Protocol):
    """What the model must know of a head."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> Sequence[str]: ...

    @property
    def scope(self) -> Scope: ...

    @property
    def own_layers(self) -> int: ...


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
    pseudonyms: Pseudonyms = NO_PSEUDONYMS
    compares_figures: bool = False
    data: list[dict[str, Any]] = Field(default_factory=list)
    metrics: dict[str, Any] = Field(default_factory=dict)
    profile: Profile = Field(default_factory=dict)
    """What its training texts were like, as the bundle tells that it is or began with."""

    @property
    def reading(self) -> Reading:
        """How it reads texts."""
        return Reading(self.pseudonyms, self.compares_figures)


class Classifier(nn.Module):
    """Encoder, mean pooling, dropout; a linear layer per head over texts, two per head over entities.

    An entity is the mean of its tokens' vectors beside the mean of all: what is said of it, and of what
    the text is about. A head over entities may have the encoder's last layers in a version of its own: it can
    learn from them without changing what is said of texts, and they cost time for entities alone.
    """

    def __init__(self, encoder: PreTrainedModel, heads: Sequence[HeadShape], dropout: float) -> None:
        super().__init__()
        # What an encoder has above its last layer is not used, and would be saved untrained.
        if getattr(encoder, "pooler", None) is not None:
            encoder.register_module("pooler", None)
        self.encoder = encoder
        width: int = encoder.config.hidden_size
        self.dropout = nn.Dropout(dropout)
        self.entity_heads = [head.name for head in heads if head.scope == "entity"]
        self.own_layers = nn.ModuleDict(
            {head.name: _last_layers(encoder, head.own_layers) for head in heads if head.own_layers}
        )
        self.heads = nn.ModuleDict(
            {
                head.name: nn.Linear(width, len(head.labels))
                if head.scope == "text"
                else nn.Sequential(
                    nn.Linear(2 * width, width),
                    nn.GELU(),
                    nn.Dropout(dropout),
                    nn.Linear(width, len(head.labels)),
                )
                for head in heads
            }
        )

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        entity_text: Tensor | None = None,
        entity_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Logits per head from token ids and mask, both texts × tokens: texts × labels.

        With `entity_text` (entities) and `entity_mask` (entities × tokens), as `training.encoding.pad` makes
        them, also those of the heads over entities: entities × labels.
        """
        found = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=bool(self.own_layers)
        )
        states = found[0]
        mean = _mean(states, attention_mask)
        features = self.dropout(mean)
        logits = {name: head(features) for name, head in self.heads.items() if name not in self.entity_heads}
        if entity_text is None or entity_mask is None:
            return logits
        for name in self.entity_heads:
            if name in self.own_layers:
                layers = cast("nn.ModuleList", self.own_layers[name])
                below = found.hidden_states[-1 - len(layers)].index_select(0, entity_text)
                mask = attention_mask.index_select(0, entity_text)
                ours = _through(layers, below, mask)
                whole = _mean(ours, mask)
            else:
                ours = states.index_select(0, entity_text)
                whole = mean.index_select(0, entity_text)
            beside = torch.cat([_mean(ours, entity_mask), whole], dim=1)
            logits[name] = self.heads[name](self.dropout(beside))
        return logits

    def last_layer(self, name: str) -> nn.Linear:
        """The layer of a head whose outputs are its labels."""
        head = self.heads[name]
        return cast("nn.Linear", head[-1] if isinstance(head, nn.Sequential) else head)

    def of_heads(self, names: Collection[str]) -> list[nn.Parameter]:
        """The parameters that only these heads have."""
        modules = [stack[name] for stack in (self.heads, self.own_layers) for name in names if name in stack]
        return [parameter for module in modules for parameter in module.parameters()]


def _last_layers(encoder: PreTrainedModel, count: int) -> nn.ModuleList:
    """Copies of the encoder's last layers."""
    stack = getattr(getattr(encoder, "encoder", None), "layer", None)
    if not isinstance(stack, nn.ModuleList) or not count < len(stack):
        raise CheckpointError(
            f"a head cannot have {count} layers of its own of this encoder ({encoder.config.model_type}): "
            "it must be built like BERT, with more layers than that"
        )
    return copy.deepcopy(stack[-count:])


def _through(layers: nn.ModuleList, states: Tensor, mask: Tensor) -> Tensor:
    """States (rows × tokens × width) after the layers; tokens where the mask is 0 are not looked at."""
    barred = (1 - mask[:, None, None, :].to(states.dtype)) * torch.finfo(states.dtype).min
    for layer in layers:
        result = layer(states, attention_mask=barred)
        states = result[0] if isinstance(result, tuple) else result
    return states


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of the vectors (rows × tokens × width) where the mask (rows × tokens) is 1."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    total: Tensor = (states * weights).sum(dim=1)
    return total / weights.sum(dim=1).clamp(min=1)


def load_tokenizer(name: str) -> Tokenizer:
    """`tokenizer.json` of a folder or hub name, without padding or truncation of its own."""
    try:
        path = cached_file(name, TOKENIZER)
        assert path is not None  # only where asked not to raise
        tokenizer = Tokenizer.from_file(path)
    except (OSError, RuntimeError) as error:
        silent = "the hub does not answer: " if isinstance(error, RuntimeError) else ""
        raise CheckpointError(
            f"cannot get {TOKENIZER} of {name}: {silent}{_first_line(error)}; "
            "name a local folder, or a model of the hub that has it"
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def new_classifier(
    encoder: str,
    heads: Sequence[HeadShape],
    dropout: float,
    learning_heads: Collection[str] = (),
    folded: Collection[str] = (),
) -> Classifier:
    """A classifier on a pre-trained encoder (folder or hub name); its heads are still random.

    Where the folder is a checkpoint or a bundle, its encoder goes on from there, and so do the heads of the
    same name, with the labels that they had there. What will learn of an INT8 bundle is scattered (see
    `training/restoration.py`); with `learning_heads` all else is exactly as it was. Heads in `folded` have their
    offsets in their weights: see `fold_offsets`.
    """
    if is_trained(Path(encoder)):
        earlier, _, description = load_checkpoint(Path(encoder), scattered=True)
        fold_offsets(earlier, description.heads, folded)
        _require_same_layers(encoder, description.heads, heads)
        model = Classifier(earlier.encoder, heads, dropout)
        # The rows of the last layers stand for labels, and these may stand in another order, or be others.
        ours = {head.name: model.last_layer(head.name) for head in heads}
        begun = {name: (layer.weight.clone(), layer.bias.clone()) for name, layer in ours.items()}
        known, shapes = earlier.state_dict(), model.state_dict()
        if learning_heads and (Path(encoder) / MANIFEST).is_file():
            exact = _bundled_weights(Path(encoder) / MODEL, scattered=False)
            known |= {name: value for name, value in exact.items() if not _is_of(name, learning_heads)}
        model.load_state_dict(
            {
                name: value
                for name, value in known.items()
                if name in shapes and shapes[name].shape == value.shape
            },
            strict=False,
        )
        theirs = {head.name: head.labels for head in description.heads}
        with torch.no_grad():
            for head in heads:
                if head.name not in theirs or list(theirs[head.name]) == list(head.labels):
                    continue
                layer, before = ours[head.name], earlier.last_layer(head.name)
                layer.weight.copy_(begun[head.name][0])
                layer.bias.copy_(begun[head.name][1])
                for place, label in enumerate(head.labels):
                    if label in theirs[head.name] and before.in_features == layer.in_features:
                        layer.weight[place] = before.weight[theirs[head.name].index(label)]
                        layer.bias[place] = before.bias[theirs[head.name].index(label)]
        return model
    try:
        pretrained = AutoModel.from_pretrained(encoder, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"cannot load the encoder {encoder}: {_first_line(error)}") from error
    return Classifier(pretrained, heads, dropout)


def fold_offsets(model: Classifier, heads: Iterable[Head], names: Collection[str]) -> None:
    """Add the offsets of the heads of these names to what their last layers do: without offsets, and with the
    same temperature, they answer as before."""
    with torch.no_grad():
        for head in heads:
            if head.name in names and head.offsets:
                model.last_layer(head.name).bias.add_(torch.tensor(head.offsets) * head.temperature)


def _is_of(parameter: str, heads: Collection[str]) -> bool:
    """Whether only these heads have the parameter of that name."""
    stack, name, *_ = parameter.split(".")
    return stack in {"heads", "own_layers"} and name in heads


def most_tokens(encoder: PreTrainedModel) -> int | None:
    """For how many tokens the encoder has learnt positions; None where it computes them."""
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    if not isinstance(table, nn.Embedding):
        return None
    # Models like RoBERTa count from behind the padding's position.
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)


def _require_same_layers(encoder: str, earlier: Sequence[Head], heads: Sequence[HeadShape]) -> None:
    """What a head has learnt in layers of its own is of no use without them, or with others."""
    known = {head.name: head.own_layers for head in earlier}
    for head in heads:
        own = known.get(head.name, 0)
        if own and own != head.own_layers:
            raise CheckpointError(
                f"{head.name} has {own} layers of its own in {encoder}: set `own_layers: {own}` for it, not "
                f"{head.own_layers}, or give the head another name to begin anew"
            )


def is_trained(folder: Path) -> bool:
    """Whether the folder is a checkpoint or a bundle, and no encoder that has yet to learn a task."""
    return any((folder / name).is_file() for name in (DESCRIPTION, MANIFEST))


def earlier_description(encoder: str) -> Description | None:
    """What a checkpoint or a bundle says of itself; None of an encoder that has yet to learn a task."""
    return read_description(Path(encoder)) if is_trained(Path(encoder)) else None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def save_checkpoint(folder: Path, model: Classifier, tokenizer: Tokenizer, description: Description) -> None:
    """Write a checkpoint for `load_checkpoint`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    tokenizer.save(str(folder / TOKENIZER))
    (folder / DESCRIPTION).write_text(description.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_description(folder: Path) -> Description:
    """What a checkpoint or a bundle says of itself; raise `CheckpointError`."""
    if (folder / MANIFEST).is_file():
        try:
            manifest = load_bundle(folder).manifest
        except BundleError as error:
            raise CheckpointError(str(error)) from error
        if not manifest.encoder_configuration:
            raise CheckpointError(
                f"{folder / MANIFEST} does not tell the encoder's shape: export the checkpoint again"
            )
        known = {name: getattr(manifest, name) for name in Description.model_fields}
        return Description(**known | {"metrics": manifest.metrics.get("checkpoint", {})})
    try:
        return Description.model_validate_json((folder / DESCRIPTION).read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"no checkpoint at {folder}: cannot read {DESCRIPTION} ({error.strerror}); "
            "name a folder that `downtick train` wrote, such as runs/NAME/model, or a bundle"
        ) from error
    except ValidationError as error:
        raise CheckpointError(f"{folder / DESCRIPTION} is damaged: {error}") from error


def load_checkpoint(folder: Path, *, scattered: bool = False) -> tuple[Classifier, Tokenizer, Description]:
    """Read a checkpoint or a bundle, on the CPU and ready to predict; raise `CheckpointError`.

    `scattered` says whether a bundle's weights are to be trained on: see `training/restoration.py`.
    """
    description = read_description(folder)
    shape = dict(description.encoder_configuration)
    configuration = AutoConfig.for_model(shape.pop("model_type"), **shape)
    encoder = AutoModel.from_config(configuration)  # type: ignore[no-untyped-call]
    model = Classifier(encoder, description.heads, dropout=0.0)
    bundled = (folder / MANIFEST).is_file()
    file = folder / (MODEL if bundled else WEIGHTS)
    try:
        model.load_state_dict(_bundled_weights(file, scattered=scattered) if bundled else load_file(file))
    except (OSError, SafetensorError, RestorationError, RuntimeError) as error:
        raise CheckpointError(f"{file} does not fit: {error}") from error
    return model.eval(), load_tokenizer(str(folder)), description


def _bundled_weights(file: Path, *, scattered: bool) -> dict[str, Tensor]:
    chance = np.random.default_rng(0) if scattered else None
    return {name: torch.from_numpy(value) for name, value in read_weights(file, chance).items()}
