"""A tiny checkpoint, and the bundles that the command makes of it."""

from pathlib import Path

import pytest
from tiny_checkpoint import make_checkpoint, run_export

from stream.bundle import Bundle, load_bundle


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tells good words from bad ones, with labelled rows beside it."""
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def bundles(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """The checkpoint exported by the command to each precision."""
    root = tmp_path_factory.mktemp("bundles")
    (root / "notes.md").write_text("It knows ten words.", encoding="utf-8")
    for precision in ("int8", "fp16", "fp32"):
        result = run_export(
            checkpoint, "--out", root / precision, "--precision", precision, "--notes", root / "notes.md"
        )
        assert result.exit_code == 0, (result.output, result.exception)
    return {name: load_bundle(root / name) for name in ("int8", "fp16", "fp32")}
