"""A training row: a text, and what is known of its labels.

What is known is a pair of label sets per head, `allowed` within `possible`:

    single  the label is one of `allowed`; the alternatives that the set tells apart are `possible`
    multi   the labels in `allowed` are present, the others in `possible` are absent,
            and of all others nothing is known

So "not negative" is {neutral, positive} within all three, and a bullish message of a set that
knows no neutral is {positive} within {negative, positive}.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from stream.bundle import Scope
from stream.names import Span

Split = Literal["train", "valid", "test"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is known of one head's labels."""

    allowed: frozenset[str]
    possible: frozenset[str]

    @property
    def informative(self) -> bool:
        """Whether the target says anything (of a single head; a multi head's `possible` does)."""
        return bool(self.possible) and self.allowed != self.possible


@dataclass(frozen=True, slots=True)
class Entity:
    """A company or thing that a text names, and what is known of the text's view of it."""

    name: str
    spans: tuple[Span, ...]
    """Where the text has it; empty where it is not there letter by letter."""
    targets: dict[str, Target]
    names: tuple[str, ...] = ()
    """How its text may write it, where its name is not all."""


@dataclass(frozen=True, slots=True)
class Row:
    """A text with its origin and targets by head; heads without a label are left out."""

    text: str
    source: str
    """The data set."""
    language: str
    targets: dict[str, Target] = field(default_factory=dict)
    split: Split | None = None
    weight: float = 1.0
    entities: tuple[Entity, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether anything is known of it or of its entities."""
        return bool(self.targets) or any(entity.targets for entity in self.entities)

    def with_split(self, split: Split) -> "Row":
        return replace(self, split=split)


def entity_rows(rows: Iterable[Row]) -> list[Row]:
    """A row per entity, with the entity's targets: what a head over entities is judged by."""
    return [
        replace(row, targets=entity.targets, entities=(entity,)) for row in rows for entity in row.entities
    ]


def rows_of(scope: Scope, rows: Sequence[Row]) -> Sequence[Row]:
    """The rows that a head of this scope answers, in the order of its logits."""
    return entity_rows(rows) if scope == "entity" else rows


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines, for `read_rows`."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            record = asdict(row)
            record["targets"] = _plain(row.targets)
            record["entities"] = [
                {"name": entity.name, "spans": entity.spans, "targets": _plain(entity.targets)}
                | ({"names": entity.names} if entity.names else {})
                for entity in row.entities
            ]
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def read_rows(path: Path) -> Iterator[Row]:
    """Read what `write_rows` wrote; `ValueError` names the line that is something else."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield parse_row(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}, line {number} is not a row: {error}") from error


def parse_row(record: dict[str, Any]) -> Row:
    """A row from its record in a file that `write_rows` wrote."""
    fields = dict(record)
    entities = tuple(
        Entity(
            entity["name"],
            tuple((first, last) for first, last in entity["spans"]),
            _targets(entity["targets"]),
            tuple(entity.get("names", ())),
        )
        for entity in fields.pop("entities", [])
    )
    return Row(targets=_targets(fields.pop("targets")), entities=entities, **fields)


def _plain(targets: dict[str, Target]) -> dict[str, Any]:
    return {
        head: {"allowed": sorted(target.allowed), "possible": sorted(target.possible)}
        for head, target in targets.items()
    }


def _targets(plain: dict[str, Any]) -> dict[str, Target]:
    return {
        head: Target(frozenset(known["allowed"]), frozenset(known["possible"]))
        for head, known in plain.items()
    }
