"""What a training run is asked to do: one YAML file, checked as a whole before anything is read.

Errors:
    ConfigurationError  a key is unknown, missing or wrong; the message names the file and the key
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream.bundle import Scope
from stream.pseudonyms import Pseudonyms
from stream.yaml_file import read_yaml
from training.taxonomy import Silence, Taxonomy, TaxonomyError, read_taxonomy

DATA_ROOT_VARIABLE = "DOWNTICK_TRAINING_DATA"


class ConfigurationError(Exception):
    """The configuration cannot be used; the message says which key, why, and what would do."""


class LabelSource(BaseModel):
    """Where a data set keeps the labels of one head, and what its own words for them mean."""

    model_config = ConfigDict(extra="forbid")

    column: str
    """A column with one value or a list of them; `entities.sentiment` reads the field `sentiment`
    of each object in the list `entities`."""
    values: dict[str, str | list[str] | Silence | None] | None = None
    """The set's value → our labels; null says nothing. None: the taxonomy's mapping of this set,
    or, without one, the value is itself a label of the head."""
    entity: str | None = None
    """For a head over entities: the column of their names, beside that of their labels."""
    one_of_overlapping: bool = False
    """Of names that lie in one another (资易贷, 资易贷公司) the set labels one, and lets the other pass for
    unremarkable: where two labels exclude each other, the vaguer one says nothing."""
    possible: list[str] | None = None
    """The labels that this set tells apart. None: all of the head. A set that knows no `neutral`
    must not teach that its texts are not neutral."""


class DataSet(BaseModel):
    """One published set: its files, how to read them, what may be done with it."""

    model_config = ConfigDict(extra="forbid")

    name: str
    files: dict[Literal["train", "valid", "test"], Path]
    """Rows under `train` are divided by text hash; those under `valid` and `test` stay there. Below
    `data_root`, but beside the configuration where a path begins with `./` or `../`."""
    text: str = "text"
    columns: list[str] | None = None
    """Of CSV files that do not begin with the names of their columns."""
    label_file: Path | None = None
    """Labels of some of its texts, by the texts' keys, since who labels texts may not always pass them on: a JSON
    object a line, whose fields come before those of the set's own. Other texts are left out."""
    fill: int | None = Field(default=None, ge=1)
    """Its rows are patterns, and each is filled with figures so many times: see `training/patterns.py`."""
    labels: dict[str, LabelSource] = Field(default_factory=dict)
    """Without any, its texts are for teachers, who say what there is to learn of them."""
    licence: str
    language: str | None = None
    """None: told from each text."""
    weight: float = Field(default=1.0, gt=0)
    """Factor on the loss of each row."""
    maximum_rows: int | None = Field(default=None, ge=1)
    """Train on no more rows than this, chosen by text hash."""
    evaluate_only: bool = False
    """Never train on it: every row is a test row."""


class HeadOptions(BaseModel):
    """One classifier over the encoder."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
    kind: Literal["single", "multi"]
    labels: list[str] = Field(default_factory=list)
    taxonomy: Path | None = None
    """A file with the labels, their cues and the mapping of each set's labels."""
    scope: Scope = "text"
    """`entity`: it answers for each entity that a text names, from the tokens that spell it."""
    fallback: str | None = None
    """Of a head over entities: the head over texts, with the same labels, that answers for an entity
    which is not in the text."""
    own_layers: int = Field(default=0, ge=0)
    """Of a head over entities: how many of the encoder's last layers are copied, to learn for it alone."""
    weight: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _has_labels(self) -> Self:
        if self.own_layers and self.scope == "text":
            raise ValueError("only a head over entities can have layers of its own")
        if bool(self.labels) == (self.taxonomy is not None):
            raise ValueError("name either `labels` or a `taxonomy`, and not both")
        if self.labels and (len(self.labels) < 2 or len(set(self.labels)) < len(self.labels)):
            raise ValueError("a head needs at least two labels, each once")
        if self.name in {"input_ids", "attention_mask"}:
            raise ValueError("this name belongs to the encoder's inputs")
        return self


class Options(BaseModel):
    """Every option of a run. Each is also a flag of `downtick train`."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    name: str = Field(default="model", description="What the model is called in its bundle.")
    encoder: str = Field(
        description="Hugging Face hub name or local folder of the encoder; a checkpoint or bundle is trained on."
    )
    output: Path = Field(default=Path("runs/model"), description="Folder of the run.")
    data_root: Path = Field(
        default_factory=lambda: Path(os.environ.get(DATA_ROOT_VARIABLE, ".")),
        description=f"Folder of the data sets' files; by default ${DATA_ROOT_VARIABLE} or here.",
    )
    heads: list[HeadOptions] = Field(min_length=1, description="The heads, as YAML.")
    data: list[DataSet] = Field(default_factory=list, description="The data sets, as YAML.")
    own_labels: list[Path] = Field(
        default_factory=list,
        description="Files of labelled rows as `downtick review` and `calibrate` know them, beside `data`.",
    )
    own_weight: float = Field(default=2.0, gt=0, description="Factor on the loss of their rows.")
    splits: Path | None = Field(
        default=None,
        description="File that freezes which texts are for validation and test; made if absent.",
    )
    valid_share: float = Field(default=0.05, gt=0, lt=0.5, description="Share for validation.")
    test_share: float = Field(default=0.1, gt=0, lt=0.5, description="Share for the test.")

    maximum_tokens: int = Field(default=96, ge=8, le=8192, description="Longer text is cut.")
    epochs: float = Field(default=3.0, gt=0, description="Passes over the training rows.")
    batch_size: int = Field(default=32, ge=1, description="Texts per step and device.")
    gradient_accumulation: int = Field(default=1, ge=1, description="Steps per update.")
    learning_rate: float = Field(default=5e-5, gt=0, description="Of the encoder.")
    head_learning_rate: float = Field(default=1e-3, gt=0, description="Of the heads.")
    warmup: float = Field(default=0.06, ge=0, lt=1, description="Share of steps to warm up in.")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's.")
    gradient_norm: float = Field(default=1.0, gt=0, description="Longer gradients are cut.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Before the heads.")
    consistency: float = Field(
        default=0.0,
        ge=0,
        description="Factor on how far two passes over a text with other dropout disagree; 0: one pass (R-Drop).",
    )
    swap_names: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of texts whose companies and cashtags are exchanged for others of their set.",
    )
    pseudonyms: Pseudonyms | None = Field(
        default=None,
        description="`latin` and `chinese` names that companies have while their texts are learnt and judged; "
        "by default those of the checkpoint or bundle that is trained on.",
    )
    compare_figures: bool | None = Field(
        default=None,
        description="Whether texts are learnt and judged with their figures compared; by default as the "
        "checkpoint or bundle that is trained on reads them.",
    )
    learning_heads: list[str] = Field(
        default_factory=list,
        description="Heads that learn while all else stays as it is; by default everything learns.",
    )
    keep_weights: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share that the checkpoint it began with has in the finished weights.",
    )
    layers: int | None = Field(
        default=None, ge=1, description="Keep so many of the encoder's layers, evenly spread; default all."
    )
    teachers: list[Path] = Field(
        default_factory=list,
        description="Checkpoints or bundles whose mean answers are learnt beside the labels, by heads they share.",
    )
    teacher_share: float = Field(
        default=0.7, gt=0, le=1, description="Of the loss, where there are teachers."
    )
    teacher_temperature: float = Field(
        default=2.0, gt=0, description="Softens answers and teachers' answers."
    )
    frozen_epochs: float = Field(
        default=0.0,
        ge=0,
        description="Passes at first in which the heads alone learn, and the encoder rests.",
    )
    freeze_embeddings: bool = Field(
        default=False, description="Leave the embeddings as they are: less memory, faster steps."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="auto: bf16 where GPU or CPU computes it natively, fp16 on other GPUs.",
    )
    device: Literal["auto", "cpu"] = Field(default="auto", description="auto: a GPU if there is.")
    threads: int | None = Field(default=None, ge=1, description="CPU threads; default PyTorch's.")
    evaluate_every: int = Field(default=500, ge=1, description="Updates between evaluations.")
    patience: int = Field(
        default=4, ge=1, description="Evaluations without a better macro-F1 before it stops."
    )
    seed: int = Field(default=17, ge=0, description="Of everything that is drawn.")

    def learns(self, head: str) -> bool:
        """Whether the run trains and calibrates the head."""
        return not self.learning_heads or head in self.learning_heads

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        heads = [head.name for head in self.heads]
        if len(set(heads)) < len(heads):
            raise ValueError("heads: two heads have the same name")
        strange = sorted(set(self.learning_heads) - set(heads))
        if strange:
            raise ValueError(f"learning_heads: there is no head {strange[0]!r}, only: {', '.join(heads)}")
        if self.learning_heads and self.teachers:
            raise ValueError("learning_heads: with teachers all heads learn")
        if self.layers is not None and any(head.own_layers for head in self.heads):
            raise ValueError("layers: an encoder that is cut can have no head with own_layers")
        if not self.data and not self.own_labels:
            raise ValueError("name a set under `data`, or a file under `own_labels`")
        names = [data.name for data in self.data]
        if len(set(names)) < len(names):
            raise ValueError("data: two sets have the same name")
        stems = [path.stem for path in self.own_labels]
        if len(set(stems)) < len(stems):
            raise ValueError("own_labels: two files have the same name")
        for data in self.data:
            unknown = sorted(set(data.labels) - set(heads))
            if unknown:
                raise ValueError(
                    f"data: {data.name}.labels names the head {unknown[0]!r}, "
                    f"there are only: {', '.join(heads)}"
                )
        return self

    @model_validator(mode="after")
    def _scopes_agree(self) -> Self:
        scopes = {head.name: head.scope for head in self.heads}
        for head in self.heads:
            if head.fallback is not None and (
                head.scope == "text" or scopes.get(head.fallback, "entity") == "entity"
            ):
                raise ValueError(f"heads: {head.name} cannot fall back to {head.fallback!r}")
        for data in self.data:
            for name, source in data.labels.items():
                if (source.entity is not None) != (scopes.get(name) == "entity"):
                    raise ValueError(
                        f"data: {data.name}.labels.{name} must name a column `entity` if the head is over "
                        "entities, and only then"
                    )
        return self


class Head(BaseModel):
    """A head with its labels read from wherever they were."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["single", "multi"]
    labels: tuple[str, ...]
    scope: Scope = "text"
    fallback: str | None = None
    own_layers: int = 0
    weight: float = 1.0
    taxonomy: Taxonomy | None = None

    def meanings(self, source: LabelSource, name: str) -> dict[str, str | list[str] | Silence | None] | None:
        """What the values of the set `name` mean; None where each is itself a label."""
        if source.values is None and self.taxonomy is not None and name in self.taxonomy.sets:
            return self.taxonomy.sets[name].values
        return source.values


def resolve_heads(options: Options) -> list[Head]:
    """The heads with their labels; `ConfigurationError` if a taxonomy cannot be read."""
    heads = []
    for head in options.heads:
        taxonomy = None
        if head.taxonomy is not None:
            try:
                taxonomy = read_taxonomy(head.taxonomy)
            except TaxonomyError as error:
                raise ConfigurationError(f"heads: {head.name}.taxonomy: {error}") from error
        labels = tuple(head.labels) if taxonomy is None else tuple(taxonomy.labels)
        heads.append(
            Head(
                name=head.name,
                kind=head.kind,
                labels=labels,
                scope=head.scope,
                fallback=head.fallback,
                own_layers=head.own_layers,
                weight=head.weight,
                taxonomy=taxonomy,
            )
        )
    _require_known_labels(options.data, heads)
    return heads


def _require_known_labels(sets: Sequence[DataSet], heads: Sequence[Head]) -> None:
    """Raise `ConfigurationError` where a set's values mean labels that its head, or that set, does not have."""
    by_name = {head.name: head for head in heads}
    problems = []
    for data in sets:
        for name, source in data.labels.items():
            head = by_name[name]
            possible = head.labels if source.possible is None else source.possible
            given = [
                *possible,
                *(label for value in (source.values or {}).values() for label in _meant(value)),
            ]
            for label in dict.fromkeys(given):
                if label not in head.labels:
                    problems.append(
                        f"  data.{data.name}.labels.{name}: {label!r} is none of {', '.join(head.labels)}"
                    )
                elif label not in possible:
                    problems.append(f"  data.{data.name}.labels.{name}: {label!r} is none of `possible`")
            if head.kind == "single":
                problems += [
                    f"  data.{data.name}.labels.{name}: {value!r} means no label at all ([]), which is not for "
                    "a single head; null says nothing of it"
                    for value, meaning in (head.meanings(source, data.name) or {}).items()
                    if meaning == []
                ]
    if problems:
        raise ConfigurationError("\n".join(["the labels of the sets do not fit the heads:", *problems]))


def _meant(value: str | list[str] | Silence | None) -> list[str]:
    if isinstance(value, Silence):
        return [*value.present, *value.unsure]
    return [value] if isinstance(value, str) else value or []


def read_configuration(path: Path | None, overrides: dict[str, Any]) -> Options:
    """Read the YAML file and lay `overrides` (option → value) over it.

    Paths of `base`, `splits`, taxonomies and label files in the file are relative to the file itself. What
    the file `base` says holds wherever this one says nothing.
    Raises `ConfigurationError`, with every wrong key in one message.
    """
    values = {**(_read_values(path) if path is not None else {}), **overrides}
    try:
        return Options.model_validate(values)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in item['loc']) or 'the file'}: {item['msg']}"
            for item in error.errors(include_url=False)
        ]
        where = str(path) if path is not None else "the flags"
        raise ConfigurationError(f"{where} cannot be used:\n" + "\n".join(lines)) from error


def _read_values(path: Path, above: frozenset[Path] = frozenset()) -> dict[str, Any]:
    values = read_yaml(path, ConfigurationError)
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path} must be a mapping of options to values")
    _anchor(values, path.parent)
    base = values.pop("base", None)
    if base is None:
        return values
    above |= {path.resolve()}
    if not isinstance(base, str) or (path.parent / base).resolve() in above:
        raise ConfigurationError(
            f"{path}: base must name another configuration, and none that is itself based on this one"
        )
    return {**_read_values(path.parent / base, above), **values}


def _anchor(values: dict[str, Any], folder: Path) -> None:
    """Make the paths of files that lie beside the configuration independent of where it is run."""
    if isinstance(values.get("splits"), str):
        values["splits"] = (folder / values["splits"]).resolve()
    heads = values.get("heads")
    for head in heads if isinstance(heads, list) else []:
        if isinstance(head, dict) and isinstance(head.get("taxonomy"), str):
            head["taxonomy"] = (folder / head["taxonomy"]).resolve()
    sets = values.get("data")
    for data in sets if isinstance(sets, list) else []:
        if not isinstance(data, dict):
            continue
        if isinstance(data.get("label_file"), str):
            data["label_file"] = (folder / data["label_file"]).resolve()
        if isinstance(data.get("files"), dict):
            data["files"] = {part: _beside(folder, file) for part, file in data["files"].items()}


def _beside(folder: Path, file: Any) -> Any:
    """A path that begins with `./` or `../`, from that folder; anything else as it is."""
    beside = isinstance(file, str) and file.startswith(("./", "../"))
    return (folder / file).resolve() if beside else file
