"""Reads a YAML file that a user wrote."""

from pathlib import Path
from typing import Any

import yaml


def read_yaml(file: Path, error: type[Exception], kind: str = "") -> Any:
    """What stands in `file`; where that cannot be read, an `error` that names it, as a `kind` of file if given."""
    named = f"{kind} {file}" if kind else str(file)
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise error(f"cannot read {named}: {problem.strerror}") from problem
    # A date that there is not is a plain ValueError.
    except (yaml.YAMLError, ValueError) as problem:
        raise error(f"{named} is not YAML: {problem}") from problem
