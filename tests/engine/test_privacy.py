"""Nobody is told what runs here: ONNX Runtime would report it, and keeps its identifier in the home folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOAD = "import {package}, onnxruntime, sys; onnxruntime.InferenceSession(sys.argv[1])"


def written_at_home(code: str, model: Path, home: Path) -> list[str]:
    """What a process leaves in the home folder of a user who has set nothing."""
    # With a variable of a continuous integration ONNX Runtime keeps silent by itself.
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    run = subprocess.run(
        [sys.executable, "-c", code, model],
        env=kept | {"HOME": str(home)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return [str(path.relative_to(home)) for path in home.rglob("*") if "onnxruntime" in path.name]


@pytest.mark.parametrize("package", ["stream", "export", "bench"])
def test_a_model_that_is_loaded_is_not_reported(tiny_bundle, tmp_path, package):
    assert written_at_home(LOAD.format(package=package), tiny_bundle.model, tmp_path) == []
