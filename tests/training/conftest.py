"""The finished run that many tests look at."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from power_cut import InterruptedRunError, PowerCut
from tiny_run import configuration, make_data, make_encoder, write_configuration

from training import run
from training.cli import train
from training.configuration import read_configuration


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run that was interrupted after a checkpoint and then resumed."""
    root = tmp_path_factory.mktemp("run")
    options = configuration(make_encoder(root / "encoder"), make_data(root / "data"), root / "out")
    path = write_configuration(root / "run.yaml", options)

    with pytest.MonkeyPatch.context() as patch:
        board = run.Board

        def board_and_cut(folder: Path) -> Any:
            trainer_callbacks.append(board(folder))
            return PowerCut(35)

        trainer_callbacks: list[Any] = []
        patch.setattr(run, "Board", board_and_cut)
        with pytest.raises(InterruptedRunError):
            run.train(read_configuration(path, {}), resume=False)
        trainer_callbacks[0].on_train_end()
    assert (root / "out" / "checkpoints" / "checkpoint-25").is_dir()
    assert not (root / "out" / "model").exists()

    result = CliRunner().invoke(train, ["--config", str(path), "--resume"])
    assert result.exit_code == 0, result.output
    return root / "out"
