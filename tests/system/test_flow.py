"""The measurement of a whole flow finds every event counted, or says how many are not."""

import subprocess
import sys
from pathlib import Path

import pytest
from processes import SystemUnderTest

from stream.bundle import Bundle

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_backlog_is_scored_and_watched_and_all_of_it_counted(
    system: SystemUnderTest, tiny_bundle: Bundle
) -> None:
    variables = system.environment() | {"DOWNTICK_BUNDLE": str(tiny_bundle.folder)}
    command = [
        sys.executable,
        "-m",
        "bench.flow",
        "--events",
        "300",
        "--rate",
        "--score",
        "1",
        "--watch",
        "1",
    ]
    done = subprocess.run(
        command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    measured, counted = done.stdout.splitlines()
    assert measured.startswith("backlog of 300: scored ")
    assert counted == "the trend counts 300 of 300 events"
