"""The model bundle: a folder that says what it holds, and can prove it.

    model.onnx      inputs `input_ids` and `attention_mask` (int64, batch × tokens); with heads over
                    entities also `entity_text` (entities: each one's text in the batch) and
                    `entity_mask` (entities × tokens: 1 at the tokens that spell it), at least one;
                    one output of logits per head, named after the head (float32, texts × labels
                    or entities × labels)
    tokenizer.json  the Hugging Face tokenizer, without padding or truncation of its own
    bundle.json     the manifest: format, heads, labels, temperatures, metrics, SHA-256 of each file
    MODEL_CARD.md   for people

Errors:
    BundleError     the folder is missing, incomplete, of another format, or not what it says
"""

import hashlib
import importlib.resources
import shutil
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream.labels import TOPIC_HEAD
from stream.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from stream.reading import Reading

FORMAT = 1
MANIFEST = "bundle.json"
MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
CARD = "MODEL_CARD.md"
REQUIRED = (MODEL, TOKENIZER, CARD)

TEXT_INPUTS = ("input_ids", "attention_mask")
ENTITY_INPUTS = ("entity_text", "entity_mask")

Precision = Literal["int8", "fp16", "fp32"]
Scope = Literal["text", "entity"]
"""What a head answers: a text, or each entity that a text names."""


class BundleError(Exception):
    """A bundle that cannot be trusted; the message says which, why, and what to do."""


class Head(BaseModel):
    """One classifier over the encoder: which labels it knows, how its logits become probabilities.

    `single`: softmax(logits / temperature + offsets); `multi`: sigmoid of the same, per label.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    kind: Literal["single", "multi"]
    labels: list[str] = Field(min_length=2)
    scope: Scope = "text"
    fallback: str | None = None
    """Of a head over entities: the head over texts that answers for an entity which no token spells."""
    own_layers: int = Field(default=0, ge=0)
    """Of a head over entities: how many of the encoder's last layers it has a version of to itself."""
    temperature: float = Field(default=1.0, gt=0)
    offsets: list[float] = Field(default_factory=list)
    """Added to the scaled logits, one per label; empty means none."""
    thresholds: list[float] = Field(default_factory=list)
    """For `multi`: the probability from which a label is given, one per label."""

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        for name in ("offsets", "thresholds"):
            values = getattr(self, name)
            if values and len(values) != len(self.labels):
                raise ValueError(f"{name} has {len(values)} values for {len(self.labels)} labels")
        if self.kind == "multi" and not self.thresholds:
            raise ValueError("a multi-label head needs thresholds")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels repeat")
        return self

    def scaled(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logits (… × labels) by the temperature and the offsets."""
        scaled: NDArray[np.float64] = logits.astype(np.float64) / self.temperature
        return scaled + np.array(self.offsets) if self.offsets else scaled


class Manifest(BaseModel):
    """What `bundle.json` says."""

    model_config = ConfigDict(extra="ignore")

    format: int
    name: str
    created: datetime
    precision: Precision
    maximum_tokens: int = Field(ge=8, le=8192)
    """A text is cut to so many tokens, the special ones counted."""
    padding_id: int = Field(ge=0)
    encoder: str
    encoder_configuration: dict[str, Any] = Field(default_factory=dict)
    """Its shape, so that the bundle can be trained on."""
    languages: list[str]
    pseudonyms: Pseudonyms = NO_PSEUDONYMS
    """The names that its texts' companies have while they are judged."""
    compares_figures: bool = False
    """Whether its texts are read with the figures compared: see `stream/figures.py`."""
    heads: list[Head] = Field(min_length=1)
    data: list[dict[str, Any]] = Field(default_factory=list)
    """The sets it was trained on: name, rows, licence."""
    metrics: dict[str, Any] = Field(default_factory=dict)
    profile: dict[str, dict[str, float]] = Field(default_factory=dict)
    """What its training texts were like: see `stream/drift.py`."""
    files: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        texts = {head.name: head for head in self.heads if head.scope == "text"}
        for head in self.heads:
            if head.fallback is None:
                continue
            other = texts.get(head.fallback)
            if head.scope == "text" or other is None or other.labels != head.labels:
                raise ValueError(f"{head.name} cannot fall back to {head.fallback}")
        return self

    def head(self, name: str) -> Head:
        """The head of that name; `BundleError` if the bundle has none."""
        for head in self.heads:
            if head.name == name:
                return head
        known = ", ".join(head.name for head in self.heads)
        raise BundleError(f"bundle {self.name!r} has no head {name!r}, only: {known}")

    @property
    def reading(self) -> Reading:
        """How it reads texts."""
        return Reading(self.pseudonyms, self.compares_figures)

    @property
    def topics(self) -> list[str]:
        """The topics that a text may have; none without a head for them."""
        return [label for head in self.heads if head.name == TOPIC_HEAD for label in head.labels]


class Bundle(BaseModel):
    """A verified bundle on disk."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    manifest: Manifest
    hash: str
    """First 16 hex digits of the manifest's SHA-256, and by it of every file's."""

    @property
    def model(self) -> Path:
        return self.folder / MODEL

    @property
    def tokenizer(self) -> Path:
        return self.folder / TOKENIZER


def model_inputs(heads: Iterable[Head]) -> tuple[str, ...]:
    """The inputs of a model with these heads."""
    of_entities = any(head.scope == "entity" for head in heads)
    return TEXT_INPUTS + ENTITY_INPUTS if of_entities else TEXT_INPUTS


def default_bundle() -> Path:
    """The folder of the bundle that ships with Downtick."""
    return Path(str(importlib.resources.files("bundles"))) / "default"


def file_digest(path: Path) -> str:
    """SHA-256 of a file as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_hash(folder: Path) -> str:
    """The hash of the bundle that `folder` claims to hold; `OSError` where it cannot be read."""
    return _short_hash((folder / MANIFEST).read_bytes())


def _short_hash(manifest: bytes) -> str:
    return hashlib.sha256(manifest).hexdigest()[:16]


def load_bundle(folder: Path) -> Bundle:
    """Read and verify the bundle in `folder`; raise `BundleError` unless every file is as declared."""
    advice = "name another folder with `bundle` in the settings, or make one with `downtick export`"
    if not folder.is_dir():
        raise BundleError(f"no bundle at {folder}: the folder does not exist; {advice}")
    try:
        raw = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(
            f"no bundle at {folder}: cannot read {MANIFEST} ({error.strerror}); {advice}"
        ) from error
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleError(f"{folder / MANIFEST}: {where}: {first['msg']}") from error
    if manifest.format != FORMAT:
        raise BundleError(
            f"{folder / MANIFEST} has format {manifest.format}, this version reads {FORMAT}; "
            "export the checkpoint again"
        )
    undeclared = [name for name in REQUIRED if name not in manifest.files]
    if undeclared:
        raise BundleError(f"{folder / MANIFEST} declares no checksum for {', '.join(undeclared)}")
    for name, digest in manifest.files.items():
        if Path(name).name != name:
            raise BundleError(f"{folder / MANIFEST} names a file outside the bundle: {name!r}")
        path = folder / name
        if not path.is_file():
            raise BundleError(f"bundle {folder} is incomplete: {name} is missing; copy it again")
        try:
            found = file_digest(path)
        except OSError as error:
            raise BundleError(f"bundle {folder}: cannot read {name} ({error.strerror})") from error
        if found != digest:
            raise BundleError(
                f"bundle {folder} is damaged or tampered with: {name} does not match its checksum; "
                "copy it again"
            )
    return Bundle(folder=folder, manifest=manifest, hash=_short_hash(raw))


def write_manifest(folder: Path, manifest: Manifest) -> Bundle:
    """Write `bundle.json` with fresh checksums of the files it names; return the verified bundle."""
    files = {name: file_digest(folder / name) for name in sorted({*REQUIRED, *manifest.files})}
    complete = manifest.model_copy(update={"files": files})
    (folder / MANIFEST).write_text(complete.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return load_bundle(folder)


def require_replaceable(out: Path) -> None:
    """Raise `BundleError` where a bundle at `out` would take the place of something that is none."""
    if out.exists() and not (out / MANIFEST).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise BundleError(
            f"{out} is there already and is no bundle; name a folder that is new, or a bundle's"
        )


def put_in_place(staging: Path, out: Path) -> Bundle:
    """Let the finished folder `staging`, beside `out`, take its place; return the bundle, verified.

    Only a bundle is replaced, or an empty folder; where that fails half-way, it is what is there again.
    """
    # `.` cannot be renamed.
    out = out.absolute()
    require_replaceable(out)
    try:
        if out.exists():
            aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
            try:
                out.rename(aside / "old")
                staging.rename(out)
            finally:
                if not out.exists():
                    (aside / "old").rename(out)
                shutil.rmtree(aside, ignore_errors=True)
        else:
            staging.rename(out)
    except OSError as error:
        raise BundleError(
            f"cannot put the bundle in place at {out} ({error.strerror}); name another folder, no mount point"
        ) from error
    return load_bundle(out)
