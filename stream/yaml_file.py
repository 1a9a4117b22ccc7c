"""Reads a YAML file that a user wrote."""

from pathlib import Path
from typing import Any

import yaml


class _Unique:
    """Refuses a key that stands twice: YAML takes the last, and what stood under the first would be gone."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)  # type: ignore[misc]
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands here a second time", key.start_mark
                )
            seen.add(str(key.value))
        return node


class TypedLoader(_Unique, yaml.SafeLoader):
    """Reads scalars as what they look like."""


class TextLoader(_Unique, yaml.BaseLoader):
    """Reads every scalar as text."""


def read_yaml(
    file: Path,
    error: type[Exception],
    kind: str = "",
    loader: type[TypedLoader | TextLoader] = TypedLoader,
) -> Any:
    """What stands in `file`; where that cannot be read, an `error` that names it, as a `kind` of file if given."""
    named = f"{kind} {file}" if kind else str(file)
    try:
        return yaml.load(file.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  # both are safe
    except OSError as problem:
        raise error(f"cannot read {named}: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise error(f"{named} is not UTF-8: {problem.reason}") from problem
    # A date that there is not is a plain ValueError.
    except (yaml.YAMLError, ValueError) as problem:
        raise error(f"{named} is not YAML: {problem}") from problem
