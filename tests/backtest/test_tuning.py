"""From a wanted number of alerts a week to settings."""

from datetime import timedelta
from pathlib import Path

import pytest
from alert_records import alert
from click.testing import CliRunner
from count_files import write_counts
from hypothesis import given
from hypothesis import strategies as st

from stream.backtest.tuning import Trial, propose, try_budget
from stream.cli import main
from stream.records import Severity

YELLOW, ORANGE, RED = Severity

trials = st.lists(
    st.builds(
        Trial,
        st.floats(0.001, 1),
        st.fixed_dictionaries({severity: st.floats(0, 10) for severity in Severity}),
    ),
    min_size=1,
)


def trial(budget: float, yellow: float, orange: float, red: float) -> Trial:
    return Trial(budget, {YELLOW: yellow, ORANGE: orange, RED: red})


def test_the_largest_budget_that_fits_is_proposed() -> None:
    proposal = propose([trial(0.01, 1, 1, 0), trial(0.02, 2, 1, 0), trial(0.05, 4, 1, 1)], 3)
    assert proposal is not None
    assert (proposal.budget, proposal.minimum_severity, proposal.weekly) == (0.02, YELLOW, 3)


def test_where_no_budget_fits_the_milder_alerts_are_to_be_muted() -> None:
    proposal = propose([trial(0.01, 5, 2, 1), trial(0.02, 9, 3, 1)], 3)
    assert proposal is not None
    assert (proposal.budget, proposal.minimum_severity, proposal.weekly) == (0.01, ORANGE, 3)


def test_where_nothing_fits_nothing_is_proposed() -> None:
    assert propose([trial(0.01, 5, 2, 1)], 0.5) is None


@given(trials, st.floats(0, 30))
def test_what_is_proposed_never_passes_what_is_wanted(tried: list[Trial], wanted: float) -> None:
    proposal = propose(tried, wanted)
    assert proposal is None or proposal.weekly <= wanted


def test_an_alert_that_was_reopened_is_one_alert_by_its_worst_surge() -> None:
    surges = [
        alert(id=name, severity=severity)
        for name, severity in (("once", YELLOW), ("again", RED), ("again", YELLOW))
    ]
    assert try_budget(0.01, surges, timedelta(days=7)).weekly == {YELLOW: 1, ORANGE: 0, RED: 1}


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["tune-alerts", *map(str, arguments)])
    return result.exit_code, result.output


def test_history_gives_a_table_and_a_proposal(tmp_path: Path) -> None:
    file = write_counts(tmp_path / "acme.csv", days=20, surge=15)
    status, output = run("--counts", file, "--per-week", 1)
    assert status == 0, output
    assert "rows in 19 days" in output
    assert "false_alarms_per_day: 0." in output


@pytest.mark.parametrize(
    ("days", "per_week", "said"), [(5, 1, "too few to tell"), (20, 0, "no setting stays within 0 alerts")]
)
def test_what_history_cannot_tell_is_said(tmp_path: Path, days: int, per_week: int, said: str) -> None:
    file = write_counts(tmp_path / "acme.csv", days=days, surge=4)
    status, output = run("--counts", file, "--per-week", per_week)
    assert status == 2
    assert said in output
