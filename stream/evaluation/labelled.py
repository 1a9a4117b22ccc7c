"""Labelled rows from a file: as a user writes them, or as `downtick train` does.

A user's row is a JSON object a line, or a line of CSV:

    text (or title and text)
    sentiment: negative                 a label of the head of that name; several of a head like `topics`,
    topics: [earnings, people]          in CSV with | between them
    negative: false                     for who only knows that much
    entities: [{name: Acme, sentiment: positive}, {name: Bolt, ticker: BLT, negative: true}]
                                        in CSV as JSON; one without a label is read, and judged by nothing
    source: desk                        under which figures are grouped, by default the file's name

What is null or empty says nothing; an empty list says that a text has no label of a head like `topics`.

Errors:
    LabelledError   a line cannot be used; the message says which, why, and what there is
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from stream.bundle import Scope
from stream.csv_file import csv_records
from stream.evaluation.rows import Entity, Row, Target, parse_row
from stream.lines import companies, names
from stream.names import places
from stream.text import language, normalise
from stream.watchlist import Watchlist

NEGATIVE = "negative"
SEPARATOR = "|"
_ENTITIES = '[{"name": "Acme", "sentiment": "positive"}]'


class HeadShape(Protocol):
    """What must be known of a head to read its labels."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def labels(self) -> Sequence[str]: ...

    @property
    def scope(self) -> Scope: ...

    @property
    def fallback(self) -> str | None: ...


class LabelledError(Exception):
    """A file of labelled rows cannot be used."""


def read_labelled(
    file: Path, heads: Sequence[HeadShape], *, bare: bool = False, watchlist: Watchlist | None = None
) -> list[Row]:
    """All rows of a JSONL or CSV file; those without any label only where `bare` ones are of use.

    The companies of `watchlist` that a user's text names are among its entities, as in the stream.
    """
    rows = []
    try:
        for number, record in _records(file):
            try:
                known = "targets" in record
                row = parse_row(record) if known else _row(record, heads, file.stem, watchlist)
            except (KeyError, TypeError, AttributeError) as error:
                raise LabelledError(f"{file}, line {number}: not a row: {error!r}") from error
            except ValueError as error:
                raise LabelledError(f"{file}, line {number}: {error}") from error
            rows.append(row)
    except OSError as error:
        raise LabelledError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LabelledError(f"{file} cannot be read: {error}") from error
    if not rows:
        raise LabelledError(f"{file} holds no row")
    return rows if bare else labelled_only(rows, file, heads)


def labelled_only(rows: Sequence[Row], file: Path, heads: Sequence[HeadShape]) -> list[Row]:
    """The rows with any label; `LabelledError` where none of the `file` has one."""
    found = [row for row in rows if row.labelled]
    if not found:
        raise LabelledError(f"{file} holds no row with a label of {', '.join(head.name for head in heads)}")
    return found


def require_known_labels(rows: Sequence[Row], file: Path, heads: Sequence[HeadShape]) -> None:
    """Raise `LabelledError` where rows that training wrote have labels that their heads do not know."""
    told: dict[str, set[str]] = {}
    for row in rows:
        for targets in (row.targets, *(entity.targets for entity in row.entities)):
            for name, target in targets.items():
                told.setdefault(name, set()).update(target.possible)
    wanted = {head.name: head.labels for head in heads}
    strange = [name for name in told if name in wanted and told[name].isdisjoint(wanted[name])]
    if told.keys().isdisjoint(wanted):
        strange = list(told)
    if strange:
        found = "; ".join(f"of {name}: {', '.join(sorted(told[name]))}" for name in strange)
        known = "; ".join(f"of {name}: {', '.join(labels)}" for name, labels in wanted.items())
        raise LabelledError(
            f"{file} has labels that the bundle does not know, {found}; it knows, {known}: give rows with these, "
            "or the bundle that was trained with those"
        )


def _records(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        if file.suffix.lower() == ".csv":
            for number, cells in csv_records(lines, file, LabelledError)[1]:
                yield number, _given(cells)
            return
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise LabelledError(f"{file}, line {number}: not JSON: {error}") from error
            if not isinstance(record, dict):
                raise LabelledError(f"{file}, line {number}: a JSON object is wanted")
            yield number, _given(record)


def _given(record: Mapping[str, Any]) -> dict[str, Any]:
    """What is said: a cell that is empty, or null, says nothing."""
    return {name: value for name, value in record.items() if value not in (None, "")}


def _row(
    record: Mapping[str, Any], heads: Sequence[HeadShape], source: str, watchlist: Watchlist | None
) -> Row:
    parts = {name: record[name] for name in ("title", "text") if name in record}
    wrong = [name for name, part in parts.items() if not isinstance(part, str)]
    if wrong:
        raise ValueError(f"`{wrong[0]}` must be a text, not {str(parts[wrong[0]])[:80]!r}")
    text = normalise("\n".join(parts.values()))
    if not text:
        raise ValueError("it has no text")
    of_texts = [head for head in heads if head.scope == "text"]
    of_entities = {head.fallback or head.name: head for head in heads if head.scope == "entity"}
    entities = []
    for entity in companies(text, _entities(record.get("entities")), watchlist):
        forms = names(entity, watchlist)
        spans = tuple(places(text, forms))
        entities.append(Entity(entity["name"], spans, _targets(entity, of_entities), forms))
    targets = _targets(record, {head.name: head for head in of_texts})
    # A lone surrogate, which only the escaped form of JSON can hold, cannot be printed.
    source = str(record.get("source", source)).encode("utf-8", "backslashreplace").decode()
    return Row(text, source, language(text), targets, entities=tuple(entities))


def _entities(given: Any) -> list[dict[str, Any]]:
    if given is None:
        return []
    if isinstance(given, str):
        with suppress(ValueError, RecursionError):
            given = json.loads(given)
    if not isinstance(given, list) or not all(isinstance(entity, dict) for entity in given):
        raise ValueError(
            f"`entities` must be a list of objects, such as {_ENTITIES}, not {str(given)[:80]!r}"
        )
    named = [_given(entity) for entity in given]
    nameless = [entity for entity in named if not isinstance(entity.get("name"), str)]
    if nameless:
        raise ValueError(
            f"one of `entities` has no name: {str(nameless[0])[:80]}; such as {_ENTITIES} is wanted"
        )
    return named


def _targets(record: Mapping[str, Any], heads: Mapping[str, HeadShape]) -> dict[str, Target]:
    """What a record says of each head, under the field that the head is mapped from."""
    targets = {}
    for field, head in heads.items():
        possible = frozenset(head.labels)
        if field in record:
            labels = frozenset(_labels(record[field], head))
            if head.kind == "multi" or labels:
                targets[head.name] = Target(labels, possible)
        elif head.kind == "single" and NEGATIVE in record and NEGATIVE in head.labels:
            negative = frozenset({NEGATIVE})
            targets[head.name] = Target(
                negative if _is_true(record[NEGATIVE]) else possible - negative, possible
            )
    return targets


def _labels(value: Any, head: HeadShape) -> Iterable[str]:
    given = [value]
    if head.kind == "multi":
        given = value.split(SEPARATOR) if isinstance(value, str) else value
        if not isinstance(given, list):
            raise ValueError(f"{head.name} must be a list of labels, not {value!r}")
    wrong = [label for label in given if label not in head.labels]
    if wrong:
        raise ValueError(f"{head.name} has no label {wrong[0]!r}, only {', '.join(head.labels)}")
    return given


def _is_true(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in {"true", "false", "1", "0"}:
        return str(value).lower() in {"true", "1"}
    raise ValueError(f"`{NEGATIVE}` must be true or false, not {value!r}")
