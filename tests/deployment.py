"""Reads the files of `deploy/` as the tools that run them would, as far as the tests need it."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = "compose.yaml"
GPU = "compose.gpu.yaml"


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def document(name: str) -> Any:
    return yaml.safe_load(text(name))


def compose(*names: str) -> dict[str, Any]:
    """The compose files, the later ones laid over the earlier ones."""
    merged: dict[str, Any] = {}
    for name in names or (COMPOSE,):
        merged = _over(merged, document(name))
    return merged


def _over(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _over(below.get(key), value) for key, value in above.items()}
    return above


def resolve(value: str) -> str:
    """A value as compose sees it while the shell sets none of the variables that it names."""
    return re.sub(r"\$\{\w+(?:(:-)([^}]*)|:\?[^}]*)?\}", lambda match: match[2] or "", value)


def environment(service: dict[str, Any]) -> dict[str, str]:
    """The variables that a service sets; those that it only hands on are left out."""
    given = service.get("environment", {})
    return {name: resolve(str(value)) for name, value in given.items() if value is not None}


def published_ports(service: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Address, port of the host and port of the container of each."""
    parts = [entry.rsplit(":", 2) for entry in service.get("ports", [])]
    return [(address, int(host), int(container)) for address, host, container in parts]


def bind_mounts(service: dict[str, Any]) -> dict[Path, str]:
    """The files and folders of `deploy/` that a service sees, and where."""
    mounts = (entry.split(":") for entry in service.get("volumes", []) if entry.startswith("."))
    return {DEPLOY / source: target for source, target, *_ in mounts}


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def exec_form(self) -> list[str]:
        """The JSON list at its end."""
        words: list[str] = json.loads(self.text[self.text.index("[") :])
        return words


def instructions() -> list[Instruction]:
    """The Dockerfile, comments left out and continued lines joined."""
    lines = [line for line in text("Dockerfile").splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        Instruction(name.upper(), rest.strip())
        for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def copied_sources() -> Iterator[Path]:
    """The files and folders that the Dockerfile takes from the repository."""
    for instruction in instructions():
        if instruction.name == "COPY" and "--from" not in instruction.text:
            yield from (ROOT / word for word in instruction.words[:-1])
