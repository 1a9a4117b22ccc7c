"""From a published file to rows: read JSONL or CSV, gather what is said of each text, map labels.

Errors:
    DataError   a file is missing or a row cannot be read; the message says which, and what is there
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.text import language, normalise
from training.configuration import DataSet, Head, LabelSource
from training.rows import Row, Split, Target
from training.taxonomy import Silence

csv.field_size_limit(16 * 1024 * 1024)


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
    odd: dict[str, Counter[str]] = field(default_factory=dict)
    """Per head: values that the mapping does not know, with their counts."""


def read_set(data: DataSet, heads: list[Head], root: Path) -> Reading:
    """Read every file of `data` below `root`. A row per distinct text and file, in file order.

    A published set may have a row per entity or per event; what its rows say of the same text is
    brought together: a single head gets a label if all agree, a multi head gets all.
    Rows of a file called `valid` become test rows: what is published to judge by is not for tuning.
    """
    reading = Reading()
    by_name = {head.name: head for head in heads}
    for part, file in data.files.items():
        values: dict[str, dict[str, list[str]]] = {}
        for record in read_records(root / file):
            reading.read += 1
            raw = _get(record, data.text, root / file)
            text = normalise(raw) if isinstance(raw, str) else ""
            if not text:
                reading.empty += 1
                continue
            gathered = values.setdefault(text, {name: [] for name in data.labels})
            for name, source in data.labels.items():
                gathered[name] += _values(record, source.column, root / file)
        split: Split | None = "test" if part != "train" or data.evaluate_only else None
        for text, gathered in values.items():
            targets = {}
            for name, source in data.labels.items():
                odd = reading.odd.setdefault(name, Counter())
                try:
                    target = _target(gathered[name], source, by_name[name], data.name, odd)
                except _DisagreementError:
                    reading.disagreeing += 1
                else:
                    if target is not None:
                        targets[name] = target
            tongue = data.language or language(text)
            reading.rows.append(Row(text, data.name, tongue, targets, split, data.weight))
    return reading


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a `.jsonl` or `.csv` file; `DataError` names the file and line."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                yield from csv.DictReader(file)
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
            f"cannot read {path}: {error.strerror}; set `data_root` to the folder of the data"
        ) from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {number} is not JSON: {error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _get(record: dict[str, Any], column: str, path: Path) -> Any:
    if column not in record:
        raise DataError(f"{path} has no column {column!r}, only: {', '.join(map(str, record))}")
    return record[column]


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


def _target(
    values: list[str], source: LabelSource, head: Head, name: str, odd: Counter[str]
) -> Target | None:
    mapping = source.values
    possible = source.possible
    if mapping is None and head.taxonomy is not None and name in head.taxonomy.sets:
        mapping = head.taxonomy.sets[name].values
        possible = head.taxonomy.sets[name].possible
    known = frozenset(head.labels if possible is None else possible)
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
