"""From a published file to rows: read JSONL or CSV, gather what is said of each text, map labels.

Errors:
    DataError   a file is missing or a row cannot be read; the message says which, and what is there
"""

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stream.comparisons import comparisons
from stream.csv_file import csv_records
from stream.evaluation.identity import text_key
from stream.evaluation.rows import Entity, Row, Split, Target
from stream.names import places
from stream.text import language, normalise, plain
from training.configuration import DataSet, Head, LabelSource
from training.patterns import Pattern, fill
from training.taxonomy import Silence

KEY = "key"
"""Column of a file of labels: whose they are, as `stream.evaluation.identity.text_key` has it."""


class DataError(Exception):
    """A data file cannot be used."""


class _DisagreementError(Exception):
    """The values of one text exclude each other."""


@dataclass(slots=True)
class Reading:
    """The rows of one set, and what had to be left aside while reading it."""

    rows: list[Row] = field(default_factory=list)
    read: int = 0
    empty: int = 0
    disagreeing: int = 0
    """Texts whose own rows or entities give a single head different labels: it gets none."""
    unplaced: int = 0
    """Entities that do not stand in their text letter by letter."""
    overlapping: int = 0
    """Labels that are those of another name in or around the same name: they are left out."""
    by_key: bool = False
    """Whether its labels stand under keys of texts, and so say the same of all texts with that key."""
    patterns: dict[str, str] = field(default_factory=dict)
    """Of sentences that a pattern makes: the key of the text → that of the pattern."""
    odd: dict[str, Counter[str]] = field(default_factory=dict)
    """Per head: values that the mapping does not know, with their counts."""


def read_set(data: DataSet, heads: list[Head], root: Path) -> Reading:
    """Read every file of `data` below `root`. A row per distinct text and file, in file order.

    A published set may have a row per entity or per event; what its rows say of the same text is
    brought together: a single head gets a label if all agree, a multi head gets all; an empty list says that
    a text has none of a multi head's labels.
    Rows of a file called `valid` become test rows: what is published to judge by is not for tuning.
    """
    reading = Reading(by_key=data.label_file is not None)
    added = _added_labels(data.label_file) if data.label_file is not None else None
    by_name = {head.name: head for head in heads}
    for part, file in data.files.items():
        values: dict[str, dict[str, list[tuple[str, str]]]] = {}
        none_of: dict[str, set[str]] = {}
        for record in _records(data, part, root / file):
            raw = _get(record, data.text, root / file)
            text = normalise(raw) if isinstance(raw, str) else ""
            said = {} if added is None else added.get(text_key(text))
            if said is None:
                continue
            record.update(said)
            reading.read += 1
            if not text:
                reading.empty += 1
                continue
            if data.fill is not None:
                reading.patterns[text_key(text)] = text_key(record["pattern"])
            gathered = values.setdefault(text, {name: [] for name in data.labels})
            for name, source in data.labels.items():
                gathered[name] += _named_values(record, source, root / file)
                if record[source.column.partition(".")[0]] == [] and by_name[name].kind == "multi":
                    none_of.setdefault(text, set()).add(name)
        split: Split | None = "test" if part != "train" or data.evaluate_only else None
        for text, gathered in values.items():
            targets, entities = _known_of(gathered, none_of.get(text, set()), data, by_name, reading)
            _leave_out_overlapping(entities, data, reading)
            placed = tuple(
                Entity(entity, tuple(places(text, [entity])), known) for entity, known in entities.items()
            )
            reading.unplaced += sum(not entity.spans for entity in placed)
            tongue = data.language or language(text)
            reading.rows.append(Row(text, data.name, tongue, targets, split, data.weight, placed))
    if added is not None and not reading.read:
        raise DataError(
            f"{data.label_file} labels none of the texts of {data.name}: its keys are of the texts in the column"
            f" {data.text!r}, and of another edition of the set they are others"
        )
    return reading


def _known_of(
    gathered: dict[str, list[tuple[str, str]]],
    none_of: set[str],
    data: DataSet,
    heads: dict[str, Head],
    reading: Reading,
) -> tuple[dict[str, Target], dict[str, dict[str, Target]]]:
    """Targets of a text, and of its entities by name, from the values that its rows give by head."""
    targets: dict[str, Target] = {}
    entities: dict[str, dict[str, Target]] = {}
    for name, source in data.labels.items():
        odd = reading.odd.setdefault(name, Counter())
        by_entity: dict[str, list[str]] = {}
        for entity, value in gathered[name]:
            by_entity.setdefault(entity, []).append(value)
        for entity, given in by_entity.items():
            try:
                target = _target(given, source, heads[name], data.name, odd)
            except _DisagreementError:
                reading.disagreeing += 1
                continue
            if target is not None:
                (entities.setdefault(entity, {}) if source.entity else targets)[name] = target
        if name in none_of and not by_entity and source.entity is None:
            targets[name] = Target(frozenset(), _known(source, heads[name], data.name))
    return targets, entities


def _leave_out_overlapping(entities: dict[str, dict[str, Target]], data: DataSet, reading: Reading) -> None:
    """Take from each name the labels that a more certain one of a name in or around it excludes."""
    for head in [name for name, source in data.labels.items() if source.one_of_overlapping]:
        labelled = {entity: known[head] for entity, known in entities.items() if head in known}
        for entity, target in labelled.items():
            if any(
                other != entity
                and (other in entity or entity in other)
                and not certain.allowed & target.allowed
                and len(certain.allowed) < len(target.allowed)
                for other, certain in labelled.items()
            ):
                del entities[entity][head]
                reading.overlapping += 1
    for entity in [entity for entity, known in entities.items() if not known]:
        del entities[entity]


def _records(data: DataSet, part: str, path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file; of patterns, the sentences that they make."""
    for number, record in enumerate(read_records(path, data.columns), start=1):
        if data.fill is None:
            yield record
            continue
        try:
            pattern = Pattern.model_validate(record)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise DataError(f"{path}, line {number} is no pattern: {faults}") from error
        for sentence in fill(pattern, data.fill):
            # Whose figures no reading compares, or others beside them, would teach to guess.
            if part != "train" or _compares(sentence["text"], sentence["figures"]):
                yield sentence


def _compares(text: str, figures: Sequence[str]) -> bool:
    """Whether a model that reads figures compared is told of these two."""
    text = plain(normalise(text))
    first, second = sorted(figures, key=text.find)
    return any(
        first in text[slice(*pair.one.place)] and second in text[slice(*pair.other.place)]
        for pair in comparisons(text)
    )


def read_records(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The records of a `.jsonl` or `.csv` file, packed (`.gz`) or not; `DataError` names file and line."""
    packed = path.suffix.lower() == ".gz"
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if packed
            else path.open(encoding="utf-8-sig", newline="") as file
        ):
            if (path.with_suffix("") if packed else path).suffix.lower() == ".csv":
                yield from (row for _, row in csv_records(file, path, DataError, names=columns)[1])
                return
            for number, line in enumerate(file, start=1):
                record = json.loads(line) if line.strip() else None
                if record is None:
                    continue
                if not isinstance(record, dict):
                    raise DataError(f"{path}, line {number}: a JSON object is wanted")
                yield record
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}; set `data_root` to the folder of the data"
        ) from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {number} is not JSON: {error}") from error
    except (UnicodeDecodeError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _added_labels(path: Path) -> dict[str, dict[str, Any]]:
    """What a file of labels says of texts, by their keys."""
    said = {}
    for record in read_records(path):
        said[_get(record, KEY, path)] = record
    return said


def _get(record: dict[str, Any], column: str, path: Path) -> Any:
    if column not in record:
        raise DataError(f"{path} has no column {column!r}, only: {', '.join(map(str, record))}")
    return record[column]


def _named_values(record: dict[str, Any], source: LabelSource, path: Path) -> list[tuple[str, str]]:
    """The raw label values of a record, each with the entity that it is of; "" for the text."""
    values = _values(record, source.column, path)
    if source.entity is None:
        return [("", value) for value in values]
    names = [normalise(name) for name in _values(record, source.entity, path)]
    if len(names) != len(values):
        raise DataError(f"{path}: {len(names)} of {source.entity} for {len(values)} of {source.column}")
    return [(name, value) for name, value in zip(names, values, strict=True) if name]


def _values(record: dict[str, Any], column: str, path: Path) -> list[str]:
    """The raw label values of a record, as strings ("true" and "false" for booleans)."""
    name, _, inner = column.partition(".")
    value = _get(record, name, path)
    items = value if isinstance(value, list) else [value]
    if inner:
        items = [item[inner] for item in items if isinstance(item, dict) and inner in item]
    return [_spell(item) for item in items if item is not None and item != ""]


def _spell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _known(source: LabelSource, head: Head, name: str) -> frozenset[str]:
    """The labels that the set `name` tells apart."""
    possible = source.possible
    if source.values is None and head.taxonomy is not None and name in head.taxonomy.sets:
        possible = head.taxonomy.sets[name].possible
    return frozenset(head.labels if possible is None else possible)


def _target(
    values: list[str], source: LabelSource, head: Head, name: str, odd: Counter[str]
) -> Target | None:
    mapping = head.meanings(source, name)
    known = _known(source, head, name)
    meanings: list[str | list[str] | Silence] = []
    for value in values:
        if mapping is None and value in head.labels:
            meanings.append(value)
        elif mapping is not None and value in mapping:
            meaning = mapping[value]
            if meaning is not None:
                meanings.append(meaning)
        else:
            odd[value] += 1
    if not meanings:
        return None
    if head.kind == "single":
        return _agreed(meanings, known)
    return _united(meanings, known)


def _agreed(meanings: list[str | list[str] | Silence], possible: frozenset[str]) -> Target | None:
    """The one label, or set of alternatives, that all values give."""
    alternatives = {
        frozenset([meaning] if isinstance(meaning, str) else meaning)
        for meaning in meanings
        if not isinstance(meaning, Silence)
    }
    if len(alternatives) != 1:
        raise _DisagreementError
    target = Target(next(iter(alternatives)), possible)
    return target if target.informative else None


def _united(meanings: list[str | list[str] | Silence], possible: frozenset[str]) -> Target | None:
    """All labels that any value gives; what a value is unsure of is unknown unless given."""
    present: set[str] = set()
    unsure: set[str] = set()
    for meaning in meanings:
        if isinstance(meaning, Silence):
            present |= set(meaning.present)
            unsure |= set(meaning.unsure)
        else:
            present |= {meaning} if isinstance(meaning, str) else set(meaning)
    known = (possible - unsure) | present
    return Target(frozenset(present), frozenset(known)) if known else None
