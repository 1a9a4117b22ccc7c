"""Whether what goes on in a folder is what was begun there."""

import filecmp
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from stream.evaluation.rows import Row, Split, write_rows
from training.configuration import ConfigurationError, Options, resolve_heads
from training.model import read_description

OPTIONS = "options.json"
HELD_OUT: dict[Split, str] = {"valid": "valid.jsonl", "test": "test.jsonl"}

_MAY_DIFFER = {"output", "data_root", "device", "threads"}
"""Options that say where a run is, and not what comes of it."""


def require_same_run(options: Options, checkpoint: Path) -> None:
    """Raise `ConfigurationError` where the run of this checkpoint was begun with other options or labels."""
    file = options.output / OPTIONS
    try:
        begun = Options.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise ConfigurationError(
            f"{file} is not of this version, so the run cannot go on: begin anew without --resume"
        ) from error
    others = differences(
        begun, {head.name: head.labels for head in read_description(checkpoint).heads}, options
    )
    if others:
        raise ConfigurationError(
            f"{options.output} was begun otherwise, and cannot go on with other {', '.join(others)}: "
            f"give those of {file}, or begin anew without --resume"
        )


def differences(begun: Options, labels: Mapping[str, Sequence[str]], now: Options) -> list[str]:
    """The options that are others than those that were begun with, and the heads with other `labels`."""
    before, after = resolved(begun.model_dump()), resolved(now.model_dump())
    return [name for name in after if name not in _MAY_DIFFER and before[name] != after[name]] + [
        f"labels of {head.name}"
        for head in resolve_heads(now)
        if list(labels.get(head.name, ())) != list(head.labels)
    ]


def resolved(value: Any) -> Any:
    """The value with every path in it absolute, since a file goes by many names."""
    match value:
        case Path():
            return value.resolve()
        case dict():
            return {key: resolved(one) for key, one in value.items()}
        case list():
            return [resolved(one) for one in value]
    return value


def require_same_rows(output: Path, rows: Mapping[Split, Sequence[Row]]) -> None:
    """Raise `ConfigurationError` where the run of this folder was begun with other validation or test rows."""
    with TemporaryDirectory() as folder:
        now = Path(folder) / "rows.jsonl"
        for split, name in HELD_OUT.items():
            write_rows(now, rows[split])
            if not filecmp.cmp(now, output / name, shallow=False):
                raise ConfigurationError(
                    f"the {split} rows are no longer those of {output / name}, so the run may have learnt some of "
                    "them: put its splits and its data back, or begin anew without --resume"
                )
