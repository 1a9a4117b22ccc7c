"""What the tests of backtests share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds what another one's model has said."""
    monkeypatch.setenv("DOWNTICK_WATCH__STATE_DIRECTORY", str(tmp_path / "state"))
