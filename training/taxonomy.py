"""A taxonomy of labels: their names, cues for them, and what each public set's labels mean in it.

Errors:
    TaxonomyError   the file cannot be read, or names a label that it does not define
"""

import re
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream.yaml_file import read_yaml


class TaxonomyError(Exception):
    """The taxonomy cannot be used; the message says which file, where, and why."""


class Silence(BaseModel):
    """A label that says something of some topics and nothing of others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    present: list[str] = Field(default_factory=list)
    unsure: list[str] = Field(default_factory=list)
    """Labels of which this value says neither that they are there nor that they are not."""


class SetMapping(BaseModel):
    """The labels of one public set in our terms."""

    model_config = ConfigDict(extra="forbid")

    possible: list[str] | None = None
    """Labels whose absence the set can tell; None means all."""
    values: dict[str, str | list[str] | Silence | None]


class Taxonomy(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")

    labels: dict[str, str] = Field(min_length=2)
    """Name → what belongs to it, for people."""
    cues: dict[str, list[str]] = Field(default_factory=dict)
    """Regular expressions: a training text that matches has the label, unless its set denies it."""
    decided_by_cues: list[str] = Field(default_factory=list)
    """Labels whose cues are near complete: a training text without one does not have the label,
    unless its set says otherwise."""
    sets: dict[str, SetMapping] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_labels_only(self) -> Self:
        for name in self.cues:
            self._check([name], f"cues.{name}")
            for cue in self.cues[name]:
                try:
                    re.compile(cue)
                except re.error as error:
                    raise ValueError(f"cues.{name}: {cue!r} is no pattern: {error}") from error
        self._check(self.decided_by_cues, "decided_by_cues")
        uncued = [name for name in self.decided_by_cues if not self.cues.get(name)]
        if uncued:
            raise ValueError(f"decided_by_cues: {uncued[0]!r} has no cues")
        for name, mapping in self.sets.items():
            self._check(mapping.possible or [], f"sets.{name}.possible")
            for value, meaning in mapping.values.items():
                self._check(named_labels(meaning), f"sets.{name}.values.{value}")
        return self

    def _check(self, labels: list[str], where: str) -> None:
        unknown = [label for label in labels if label not in self.labels]
        if unknown:
            raise ValueError(f"{where}: {unknown[0]!r} is not among the labels")

    def patterns(self) -> dict[str, re.Pattern[str]]:
        """One pattern per label that has cues."""
        return {
            label: re.compile("|".join(f"(?:{cue})" for cue in cues), re.IGNORECASE)
            for label, cues in self.cues.items()
            if cues
        }


def named_labels(meaning: str | list[str] | Silence | None) -> list[str]:
    """Every label that a mapping's value mentions."""
    if meaning is None:
        return []
    if isinstance(meaning, str):
        return [meaning]
    if isinstance(meaning, Silence):
        return [*meaning.present, *meaning.unsure]
    return meaning


def read_taxonomy(path: Path) -> Taxonomy:
    """Read and check the file; raise `TaxonomyError`."""
    try:
        return Taxonomy.model_validate(read_yaml(path, TaxonomyError))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise TaxonomyError(f"{path}: {where}: {first['msg']}") from error
