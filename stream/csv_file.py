"""Reads a CSV file that a user wrote, and loses nothing of it without a word."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

MAXIMUM_FIELD_CHARACTERS = 64 * 1024 * 1024

_SURPLUS = "\0"
"""Under which a row keeps the fields behind the last column."""

Records = Iterator[tuple[int, dict[str, str | None]]]
"""Rows by column, each with the line that it begins in; None where a row ends before a column."""


def csv_records(
    lines: Iterable[str],
    file: Path,
    error: type[Exception],
    *,
    names: Sequence[str] | None = None,
    small: bool = False,
) -> tuple[list[str], Records]:
    """The columns of a file, and its rows.

    The columns are `names`, else those of the first line, in `small` letters if wanted. Raises an `error` that
    names the line where the file is no CSV, or a row has other fields than there are columns.
    """
    csv.field_size_limit(MAXIMUM_FIELD_CHARACTERS)
    # Otherwise a quotation mark that is never closed would take all rows behind it into its field.
    reader = csv.DictReader(lines, names, restkey=_SURPLUS, strict=True, skipinitialspace=True)
    try:
        columns = [name.strip() for name in reader.fieldnames or []]
    except csv.Error as problem:
        raise error(f"{file}, line 1: not CSV: {problem}") from problem
    columns = [name.lower() for name in columns] if small else columns
    twice = next((name for name, count in Counter(columns).items() if name and count > 1), None)
    if twice is not None:
        raise error(f"{file} has two columns {twice!r}: leave one")
    reader.fieldnames = columns
    return columns, _records(reader, file, error)


def _records(reader: "csv.DictReader[str]", file: Path, error: type[Exception]) -> Records:
    behind: int | None = None
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            raise error(
                f"{file}, line {line}: not CSV: {problem}; a text that begins with a quotation mark ends with "
                "one, and has two for each within"
            ) from problem
        surplus: Any = row.pop(_SURPLUS, [])
        behind = len(surplus) if behind is None else behind
        # Each row may end with a comma. Else there is one in a text without quotes, which would be cut there.
        if any(surplus) or len(surplus) != behind:
            raise error(
                f"{file}, line {reader.line_num}: other fields than the {len(row)} columns; "
                "put a text with commas in quotes"
            )
        # Blank lines before it are no rows.
        yield reader.line_num - sum(value.count("\n") for value in row.values() if value), row
