"""From the stream to a person and into a file of labels, over a real broker."""

import os
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from processes import SystemUnderTest

from stream.bundle import Bundle
from stream.cli import main
from stream.evaluation.labelled import read_labelled

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_a_person_labels_what_the_stream_puts_aside(
    system: SystemUnderTest, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.variables |= {
        "DOWNTICK_BUNDLE": str(tiny_bundle.folder),
        "DOWNTICK_REVIEW__RANDOM_SHARE": "1",
    }
    system.start_worker()
    system.send(
        [{"id": f"e{number}", "time": NOON.isoformat(), "text": f"bad {number}"} for number in range(5)]
    )
    system.wait_for_count(5)
    assert (
        sum(
            value
            for name, value in system.workers[0].metrics().items()
            if name.startswith("downtick_review_items_total")
        )
        == 5
    )

    for name in os.environ:
        if name.startswith("DOWNTICK_"):
            monkeypatch.delenv(name)
    for name, value in system.variables.items():
        monkeypatch.setenv(name, value)
    labels = system.folder / "labels.jsonl"
    first = CliRunner().invoke(main, ["review", "--labels", str(labels)], input="nnq")
    assert first.exit_code == 0, first.output
    assert "5 events wait" in first.output
    assert "the model agreed in 2 of 2 random ones" in first.output
    again = CliRunner().invoke(main, ["review", "--labels", str(labels)], input="ppp")
    assert "3 events wait" in again.output
    assert len(read_labelled(labels, tiny_bundle.manifest.heads)) == 5
    done = CliRunner().invoke(main, ["review", "--labels", str(labels)])
    assert "nothing waits" in done.output
